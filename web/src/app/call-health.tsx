/** Opens the inspector, whose code comes with its first use. */
import { signal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Kaiwa } from '../client/index.js';
import { t } from './i18n.js';
import { auth, showToast } from './state.js';

export interface InspectProps {
  kaiwa: Kaiwa;
  /** Empty: all calls of the server, for its administrators. */
  room: string;
  onClose: () => void;
}

/** What is looked at: a room, or empty for all calls of the server; null: nothing. */
export const inspecting = signal<string | null>(null);

/** To be offered what administrators may see; the server decides. */
export function isAdmin(): boolean {
  const [, claims = ''] = auth.value?.token.split('.') ?? [];
  try {
    const { role } = JSON.parse(atob(claims.replaceAll('-', '+').replaceAll('_', '/'))) as { role?: unknown };
    return role === 'admin';
  } catch {
    // Not a token that says so.
    return false;
  }
}

export function HealthLayer({ kaiwa }: { kaiwa: Kaiwa }) {
  const room = inspecting.value;
  const [View, setView] = useState<ComponentType<InspectProps> | null>(null);
  const isWanted = room !== null && View === null;
  useEffect(() => {
    if (!isWanted) return;
    const failed = () => {
      inspecting.value = null;
      showToast(t('errUnreachable'), 'error');
    };
    import('./call-inspect-view.js').then(({ InspectDialog }) => setView(() => InspectDialog), failed);
  }, [isWanted]);
  if (room === null || View === null) return null;
  return <View key={room} kaiwa={kaiwa} room={room} onClose={() => (inspecting.value = null)} />;
}
