/**
 * A network of its own for each person, made and removed by the test: a namespace with one link to the host, where the
 * server is. What goes to one of them can be throttled (tc), lost or blocked (nft), both ways, without the others noticing.
 *
 *   namespace "alice" 10.x.1.2 ──veth── 10.x.1.1 ┐
 *   namespace "bob"   10.x.2.2 ──veth── 10.x.2.1 ┤ host: server at 10.x.0.1
 *
 * The kernel has no netem, so links have no delay of their own. Needs root, iproute2 and nftables.
 */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ip = (...args) => run('ip', args);

/** What waits at a bottleneck before it is dropped: much, as home routers have it. */
const QUEUE_MS = 300;
/** What passes at once, in bytes: one packet, so that a short burst does not seem to find a wide path. */
const BURST = 1_600;
/** Tries for a subnet that nobody has. */
const SUBNETS = 20;

export class Network {
  /** The server's address. */
  host = '';
  #id;
  #subnet = '';
  #links = new Map();

  /** Removes what it has made if it fails. */
  static async open(names) {
    const network = new Network();
    try {
      await network.#make(names);
    } catch (error) {
      await network.close();
      throw new Error(`no network namespaces (this needs root, iproute2 and nftables): ${error.stderr || error.message}`, { cause: error });
    }
    return network;
  }

  constructor() {
    this.#id = `kw${process.pid % 100_000}`;
  }

  async #make(names) {
    const { stdout: taken } = await ip('-4', '-o', 'addr');
    const subnets = Array.from({ length: SUBNETS }, (_, i) => `10.${64 + ((process.pid + i * 7) % 128)}`);
    this.#subnet = subnets.find((subnet) => !taken.includes(` ${subnet}.`));
    if (!this.#subnet) throw new Error('no subnet is free');
    this.host = `${this.#subnet}.0.1`;
    await ip('addr', 'add', `${this.host}/32`, 'dev', 'lo');
    await run('nft', ['add', 'table', 'inet', this.#id]);
    await run('nft', ['add', 'chain', 'inet', this.#id, 'in', '{ type filter hook input priority 0; }']);
    for (const [index, name] of names.entries()) await this.#makeLink(name, index + 1);
  }

  async #makeLink(name, number) {
    const link = { space: `${this.#id}-${name}`, outer: `${this.#id}v${number}`, inner: `${this.#id}i${number}` };
    this.#links.set(name, link);
    const at = (last) => `${this.#subnet}.${number}.${last}`;
    await ip('netns', 'add', link.space);
    await ip('link', 'add', link.outer, 'type', 'veth', 'peer', 'name', link.inner, 'netns', link.space);
    await ip('addr', 'add', `${at(1)}/24`, 'dev', link.outer);
    await ip('link', 'set', link.outer, 'up');
    // Else a run of packets passes as one (and is lost as one).
    await ip('link', 'set', link.outer, 'gso_max_segs', '1');
    const inside = (...args) => ip('-n', link.space, ...args);
    await inside('addr', 'add', `${at(2)}/24`, 'dev', link.inner);
    await inside('link', 'set', 'lo', 'up');
    await inside('link', 'set', link.inner, 'up');
    await inside('route', 'add', 'default', 'via', at(1));
    await this.#inside(link, 'nft', 'add', 'table', 'inet', 'lossy');
    await this.#inside(link, 'nft', 'add', 'chain', 'inet', 'lossy', 'in', '{ type filter hook input priority 0; }');
    await this.#inside(link, 'nft', 'add', 'table', 'inet', 'wall');
    for (const way of ['input', 'output']) {
      await this.#inside(link, 'nft', 'add', 'chain', 'inet', 'wall', way, `{ type filter hook ${way} priority 1; }`);
    }
  }

  #inside({ space }, ...args) {
    return run('ip', ['netns', 'exec', space, ...args]);
  }

  /** A program that runs another one in somebody's namespace, for who can only be given a path. */
  async wrapper(name, program, folder) {
    const path = join(folder, `in-${name}`);
    await writeFile(path, `#!/bin/sh\nexec ip netns exec ${this.#links.get(name).space} ${program} "$@"\n`, { mode: 0o755 });
    return path;
  }

  /** Nothing more than this reaches somebody from now on; null lifts it. */
  async limit(name, kbit) {
    const { outer } = this.#links.get(name);
    await run('tc', ['qdisc', 'del', 'dev', outer, 'root']).catch(() => {});
    if (kbit === null) return;
    await run('tc', ['qdisc', 'add', 'dev', outer, 'root', 'tbf', 'rate', `${kbit}kbit`, 'burst', String(BURST), 'latency', `${QUEUE_MS}ms`]);
  }

  /** One in ten datagrams to somebody (`down`) or from them (`up`) is lost from now on. */
  async lose(name, { down = false, up = false }) {
    const link = this.#links.get(name);
    const drop = ['numgen', 'random', 'mod', '10', '<', '1', 'counter', 'drop'];
    await this.#inside(link, 'nft', 'flush', 'chain', 'inet', 'lossy', 'in');
    await run('nft', ['flush', 'chain', 'inet', this.#id, 'in']);
    if (down) await this.#inside(link, 'nft', 'add', 'rule', 'inet', 'lossy', 'in', 'meta', 'l4proto', 'udp', ...drop);
    // Where it arrives: dropped where it leaves, the sender would be told.
    if (up) await run('nft', ['add', 'rule', 'inet', this.#id, 'in', 'iifname', link.outer, 'meta', 'l4proto', 'udp', ...drop]);
  }

  /** No UDP gets to somebody or from them from now on, as behind a strict firewall, which tells nobody; or it does again. */
  async blockUdp(name, isBlocked) {
    const link = this.#links.get(name);
    for (const way of ['input', 'output']) {
      await this.#inside(link, 'nft', 'flush', 'chain', 'inet', 'wall', way);
      if (isBlocked) await this.#inside(link, 'nft', 'add', 'rule', 'inet', 'wall', way, 'meta', 'l4proto', 'udp', 'counter', 'drop');
    }
  }

  /** Never fails; what was not made is not there to be removed. */
  async close() {
    for (const { space, outer } of this.#links.values()) {
      await ip('link', 'del', outer).catch(() => {});
      await ip('netns', 'del', space).catch(() => {});
    }
    this.#links.clear();
    await run('nft', ['delete', 'table', 'inet', this.#id]).catch(() => {});
    if (this.host) await ip('addr', 'del', `${this.host}/32`, 'dev', 'lo').catch(() => {});
  }
}
