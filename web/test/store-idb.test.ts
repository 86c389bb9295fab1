import 'fake-indexeddb/auto';
import { describe, expect, it } from 'vitest';
import { IndexedDbStore } from '../src/client/store-idb.js';
import type { Write } from '../src/client/outbox.js';

const write = (cid: string): Write => ({
  cid,
  room: 'r',
  op: { kind: 'send', text: cid, replyTo: 0 },
  createdMs: 1,
  attempts: 0,
  state: { kind: 'waiting' },
});

/** Web Locks as far as the store uses them: a lock is held until its page is closed. */
function lockManager() {
  const names = new Set<string>();
  const locks = {
    request: async (name: string) => {
      names.add(name);
      return new Promise(() => {});
    },
    query: async () => ({ held: [...names].map((name) => ({ name })), pending: [] }),
  } as unknown as LockManager;
  return { locks, close: (owner: string) => names.delete(`kaiwa-page-${owner}`) };
}

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
});
