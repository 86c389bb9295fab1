/** Files dropped onto a room. */
import type { ComponentChildren } from 'preact';
import { useRef, useState } from 'preact/hooks';
import type { Kaiwa } from '../client/index.js';
import { filesOf, pick } from './clip-pick.js';
import { t } from './i18n.js';
import { Icon } from './parts.js';

const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false;

export function DropZone({ kaiwa, room, title, enabled, children }: { kaiwa: Kaiwa; room: string; title: string; enabled: boolean; children: ComponentChildren }) {
  const [over, setOver] = useState(false);
  // Going onto a child leaves its parent: as many comings as goings.
  const depth = useRef(0);
  const end = () => {
    depth.current = 0;
    setOver(false);
  };
  return (
    <div
      class="chat"
      data-testid="drop-zone"
      onDragEnter={(e) => {
        if (!hasFiles(e)) return;
        depth.current++;
        if (enabled) setOver(true);
      }}
      onDragOver={(e) => {
        if (!hasFiles(e)) return;
        // Else the browser would leave the app for the file.
        e.preventDefault();
        if (e.dataTransfer) e.dataTransfer.dropEffect = enabled ? 'copy' : 'none';
      }}
      onDragLeave={() => {
        depth.current = Math.max(0, depth.current - 1);
        if (depth.current === 0) setOver(false);
      }}
      onDrop={(e) => {
        if (!hasFiles(e)) return;
        e.preventDefault();
        end();
        if (enabled && e.dataTransfer) void filesOf(e.dataTransfer).then((files) => pick(kaiwa, room, files));
      }}
    >
      {children}
      {over && (
        <div class="drop-over" data-testid="drop-over">
          <Icon name="attach" />
          <span>{t('clipDrop', { title })}</span>
        </div>
      )}
    </div>
  );
}
