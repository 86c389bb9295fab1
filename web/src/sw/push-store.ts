/** Keeps the state of pushes where page and service worker both reach it: a worker has no localStorage. */
import { NO_STATE, type PushState } from './push.js';

const DATABASE = 'kaiwa-push';
const STORE = 'state';
const KEY = 'state';

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Changes the state in one transaction, so that two pushes at once don't lose each other's, and gives what `change` gave. */
export async function updateState<T extends { state: PushState }>(change: (state: PushState) => T): Promise<T> {
  const database = await open();
  try {
    return await new Promise<T>((resolve, reject) => {
      const transaction = database.transaction(STORE, 'readwrite');
      const store = transaction.objectStore(STORE);
      const request = store.get(KEY);
      let changed: T;
      request.onsuccess = () => {
        changed = change({ ...NO_STATE, ...(request.result as Partial<PushState> | undefined) });
        store.put(changed.state, KEY);
      };
      transaction.oncomplete = () => resolve(changed);
      transaction.onabort = () => reject(transaction.error);
      transaction.onerror = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}
