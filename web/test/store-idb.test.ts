import 'fake-indexeddb/auto';
import { describe, expect, it } from 'vitest';
import { IndexedDbStore } from '../src/client/store-idb.js';
import type { Write } from '../src/client/outbox.js';
import type { StoredRoom } from '../src/client/ports.js';

const write = (cid: string): Write => ({
  cid,
  room: 'r',
  op: { kind: 'send', text: cid, replyTo: 0 },
  createdMs: 1,
  attempts: 0,
  state: { kind: 'waiting' },
});

/** Web Locks as far as the store uses them: a page's lock is held until the page is closed, and may be waited for. */
function lockManager() {
  const names = new Set<string>();
  const waiting: { name: string; run: () => void }[] = [];
  const request = async (name: string, ...rest: unknown[]) => {
    if (rest.length === 1) {
      names.add(name);
      return new Promise(() => {});
    }
    if (names.has(name)) await new Promise<void>((run) => waiting.push({ name, run }));
    return (rest[1] as () => unknown)();
  };
  const query = async () => ({
    held: [...names].map((name) => ({ name, mode: 'exclusive' })),
    pending: waiting.map(({ name }) => ({ name, mode: 'shared' })),
  });
  const close = (owner: string) => {
    const lock = `kaiwa-page-${owner}`;
    names.delete(lock);
    for (const { name, run } of waiting.splice(0)) if (name === lock) run();
  };
  return { locks: { request, query } as unknown as LockManager, close };
}

const room = (id: string): StoredRoom => ({
  info: { room: id } as StoredRoom['info'],
  version: 1,
  position: null,
  timeline: null,
  lastRead: 0,
  names: {},
});

describe('the IndexedDB store', () => {
  it('leaves the writes of a living page alone and adopts those of one that is gone', async () => {
    const { locks, close } = lockManager();
    const one = new IndexedDbStore({ user: 'alice', owner: '1', locks });
    const two = new IndexedDbStore({ user: 'alice', owner: '2', locks });
    const other = new IndexedDbStore({ user: 'bob', owner: '3', locks });
    await one.saveWrite(write('a'));
    expect(await two.adoptWrites({ first: false })).toEqual([]);
    close('1');
    expect((await two.adoptWrites({ first: false })).map((w) => w.cid)).toEqual(['a']);
    expect(await two.adoptWrites({ first: false })).toEqual([]);
    expect(await other.adoptWrites({ first: false })).toEqual([]);
    // Signed in again without a reload: what this page left unsent before is its own to send.
    expect((await two.adoptWrites({ first: true })).map((w) => w.cid)).toEqual(['a']);
    await two.dropWrite('a');
    close('2');
    const three = new IndexedDbStore({ user: 'alice', owner: '4', locks });
    expect(await three.adoptWrites({ first: false })).toEqual([]);
  });

  it('keeps each person apart and clears only their own', async () => {
    const { locks, close } = lockManager();
    const alice = new IndexedDbStore({ user: 'alice', owner: '5', locks });
    const alicia = new IndexedDbStore({ user: 'alicia', owner: '6', locks });
    await alice.saveWrite(write('a'));
    await alicia.saveWrite(write('b'));
    await alice.clear();
    close('6');
    const next = new IndexedDbStore({ user: 'alicia', owner: '7', locks });
    expect((await next.adoptWrites({ first: false })).map((w) => w.cid)).toEqual(['b']);
  });

  it('says when a page that still lived is gone, as the one before a reload may', async () => {
    const { locks, close } = lockManager();
    const before = new IndexedDbStore({ user: 'carol', owner: '8', locks });
    await before.saveWrite(write('c'));
    const after = new IndexedDbStore({ user: 'carol', owner: '9', locks });
    const told = new Promise<void>((resolve) => after.onOrphans(resolve));
    expect(await after.adoptWrites({ first: true })).toEqual([]);
    // Whoever waits is not taken for a page that takes care of the write.
    const another = new IndexedDbStore({ user: 'carol', owner: '10', locks });
    expect(await another.adoptWrites({ first: true })).toEqual([]);
    close('8');
    await told;
    const adopted = await Promise.all([after, another].map((store) => store.adoptWrites({ first: false })));
    expect(adopted.flat().map((w) => w.cid), 'by one of them').toEqual(['c']);
  });

  it('opens its database again when that failed, or when the browser closed it', async () => {
    const { locks } = lockManager();
    let failures = 1;
    const opened: IDBDatabase[] = [];
    const flaky = {
      open: (name: string, version: number) => {
        if (failures-- > 0) throw new Error('not now');
        const request = indexedDB.open(name, version);
        request.addEventListener('success', () => opened.push(request.result));
        return request;
      },
    } as unknown as IDBFactory;
    const store = new IndexedDbStore({ user: 'dora', owner: '11', locks, indexedDB: flaky });
    await store.saveRoom(room('r'));
    opened.at(-1)!.close();
    expect((await store.rooms()).map((r) => r.info.room)).toEqual(['r']);
    expect(opened).toHaveLength(2);
  });
});
