/** Virtual time and an in-memory network around the library and the fake server. */
import { Kaiwa, type KaiwaOptions } from '../src/client/client.js';
import { MemoryStore, type Clock, type OpenSocket, type Socket } from '../src/client/ports.js';
import { FakePeers } from './fake-peer.js';
import { FakeServer, type FakeConnection } from './fake-server.js';

/** mulberry32: a small seeded generator. */
export function seeded(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export class VirtualClock implements Clock {
  #now = 1_790_000_000_000;
  #timers: { at: number; run: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + Math.ceil(ms), run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((t) => t !== timer);
    };
  }

  /** Lets `ms` pass, running what is due in its order, and everything that follows from it. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const next = this.#timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((t) => t !== next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
      await settle();
    }
    this.#now = end;
  }
}

/** Until nothing more follows from what was done: everything here is microtasks. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 200; i++) await Promise.resolve();
}

/** Connects a client's sockets to the server, each frame one microtask later. */
export class Network {
  up = true;
  readonly server: FakeServer;

  constructor(server: FakeServer) {
    this.server = server;
  }

  readonly open: OpenSocket = (_url, [protocol = '']) => {
    let conn: FakeConnection | null = null;
    const client: Socket = {
      binaryType: '',
      onopen: null,
      onmessage: null,
      onclose: null,
      onerror: null,
      send: (frame) => queueMicrotask(() => conn?.receive(frame)),
      close: () => queueMicrotask(() => conn?.closed()),
    };
    queueMicrotask(() => {
      if (!this.up) return client.onclose?.({ code: 1006 });
      conn = this.server.accept({
        protocol,
        send: (frame) => queueMicrotask(() => client.onmessage?.({ data: frame })),
        close: (code) => queueMicrotask(() => client.onclose?.({ code })),
      });
      client.onopen?.({} as never);
    });
    return client;
  };
}

export interface World {
  clock: VirtualClock;
  server: FakeServer;
  network: Network;
  /** The peers that clients have opened. */
  peers: FakePeers;
  client(user: string, options?: Partial<KaiwaOptions>): Kaiwa;
}

export function world(seed = 1): World {
  const clock = new VirtualClock();
  const server = new FakeServer(() => clock.now());
  const network = new Network(server);
  const random = seeded(seed);
  const peers = new FakePeers();
  return {
    clock,
    server,
    network,
    peers,
    client: (user, options = {}) => {
      server.token(user);
      return new Kaiwa({
        url: 'ws://test/ws',
        me: { id: user, name: user },
        getToken: async () => server.token(user),
        store: new MemoryStore(),
        device: 'test',
        openSocket: network.open,
        openPeer: peers.open,
        clock,
        randomBytes: (bytes) => {
          for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(random() * 256);
        },
        ...options,
      });
    },
  };
}

/** What a person sees of a room: messages and, after them, what is on its way. */
export function texts(client: Kaiwa, room: string): string[] {
  const { messages, writes } = client.messages(room);
  return [
    ...messages.map((m) => (m.deleted ? '(deleted)' : m.text)),
    ...writes.flatMap((w) => (w.op.kind === 'send' ? [`${w.op.text} [${w.state.kind}]`] : [])),
  ];
}
