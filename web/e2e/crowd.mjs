/** Participants of the load test beside browsers: `loadtest call watch`, which says what each of them receives. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { BIN } from './harness.mjs';

const LOADTEST = process.env.KAIWA_LOADTEST ?? join(dirname(BIN), 'loadtest');

export class Crowd {
  #child;
  #folder;
  #said = '';
  /** One a participant, as they last said. */
  seen = [];
  /** Which pictures each of them was ever sent: one that is paused for a moment was. */
  #sent = new Set();

  /** With a token each. They become members of the room, and speak, the first the loudest. */
  static async enter(url, room, tokens, { voices = 0 } = {}) {
    const crowd = new Crowd();
    crowd.#folder = await mkdtemp(join(tmpdir(), 'kaiwa-crowd-'));
    const file = join(crowd.#folder, 'tokens');
    await writeFile(file, tokens.join('\n'), { mode: 0o600 });
    const args = ['call', 'watch', '--server', new URL(url).host, '--room', room, '--tokens', file, '--join-room', '--voices', String(voices), '--width', '320', '--height', '180', '--every-ms', '200'];
    const child = spawn(LOADTEST, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    crowd.#child = child;
    child.stderr.on('data', (chunk) => (crowd.#said += chunk));
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('[')) crowd.#look(JSON.parse(line));
      else crowd.#said += `${line}\n`;
    });
    await once(child, 'spawn');
    return crowd;
  }

  #look(seen) {
    this.seen = seen;
    for (const { participant, slots } of seen) for (const [, publication, layer] of slots) if (layer > 0) this.#sent.add(`${participant} ${publication}`);
  }

  /** How many of them were sent pictures of all of these participants. */
  watching(participants) {
    return this.seen.filter(({ participant, roster }) =>
      participants.every((other) => (roster.find(([id]) => id === other)?.[1] ?? []).some((publication) => this.#sent.has(`${participant} ${publication}`))),
    ).length;
  }

  /** What went wrong, for a failure's message. */
  story() {
    return `${JSON.stringify(this.seen).slice(0, 2_000)} ${this.#said.slice(-1_000)}`;
  }

  async leave() {
    const child = this.#child;
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.stdin.end('stop\n');
      await ended;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}
