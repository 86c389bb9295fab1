/** A network namespace of a test's own, joined to this machine by one cable, whose address can change. Needs root. */
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export class Namespace {
  #name;
  #near;
  #far;
  #folder = '';
  #net;
  #present = 2;

  /** Named after this process; its addresses are of 198.18.0.0/15, which is for tests (RFC 2544). */
  static async make() {
    const space = new Namespace();
    try {
      await space.#make();
    } catch (error) {
      await space.end();
      throw new Error('a network namespace can’t be made: is this root, with iproute2?', { cause: error });
    }
    return space;
  }

  async #make() {
    const { pid } = process;
    this.#name = `kaiwa-${pid}`;
    this.#near = `kwn${pid}`;
    this.#far = `kwf${pid}`;
    this.#net = `198.${18 + (pid % 2)}.${(pid >> 1) % 256}`;
    await run('ip', ['netns', 'add', this.#name]);
    await run('ip', ['link', 'add', this.#near, 'type', 'veth', 'peer', 'name', this.#far, 'netns', this.#name]);
    await run('ip', ['addr', 'add', `${this.host}/24`, 'dev', this.#near]);
    await run('ip', ['link', 'set', this.#near, 'up']);
    await this.#inside('link', 'set', 'lo', 'up');
    await this.#inside('addr', 'add', `${this.address}/24`, 'dev', this.#far);
    await this.#inside('link', 'set', this.#far, 'up');
    await this.#inside('route', 'add', 'default', 'via', this.host);
  }

  #inside(...command) {
    return run('ip', ['-n', this.#name, ...command]);
  }

  /** This machine's own end. */
  get host() {
    return `${this.#net}.1`;
  }

  /** The other end, at present. */
  get address() {
    return `${this.#net}.${this.#present}`;
  }

  /** As a phone does that leaves one network and finds another: the old address goes, then there is a new one. */
  async move() {
    await this.#inside('addr', 'del', `${this.address}/24`, 'dev', this.#far);
    this.#present += 1;
    await this.#inside('addr', 'add', `${this.address}/24`, 'dev', this.#far);
    await this.#inside('route', 'add', 'default', 'via', this.host);
  }

  /** A program's path that runs another one in here. */
  async wrap(program) {
    this.#folder ||= await mkdtemp(join(tmpdir(), 'kaiwa-netns-'));
    const path = join(this.#folder, 'run');
    await writeFile(path, `#!/bin/sh\nexec ip netns exec ${this.#name} ${program} "$@"\n`);
    await chmod(path, 0o755);
    return path;
  }

  async end() {
    // The cable goes with either of its ends.
    await run('ip', ['link', 'del', this.#near]).catch(() => {});
    await run('ip', ['netns', 'del', this.#name]).catch(() => {});
    if (this.#folder) await rm(this.#folder, { recursive: true, force: true });
  }
}
