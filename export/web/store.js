// @ts-check
// The codes and small pictures that the page keeps, in the browser's own database.

const STORE = "pictures";

/** @typedef {{id?: number, name: string, code: Uint8Array, thumbnail: Blob}} Picture */

const PREFIX = "dshgan ";

/** Pictures of one model: those of another have codes that cannot be compared, and are forgotten. */
export class Store {
  /** @param {IDBDatabase} database */
  constructor(database) {
    this.database = database;
  }

  /**
   * @param {string} model its checksum
   * @returns {Promise<Store>}
   */
  static async open(model) {
    for (const {name} of await indexedDB.databases()) {
      if (name?.startsWith(PREFIX) && name !== PREFIX + model) indexedDB.deleteDatabase(name);
    }
    const request = indexedDB.open(PREFIX + model, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, {keyPath: "id", autoIncrement: true});
    return new Store(await finished(request));
  }

  /**
   * @param {Picture} picture
   * @returns {Promise<void>} when it is kept
   */
  async add(picture) {
    picture.id = Number(await this.changed((objects) => objects.add(picture)));
  }

  /** @returns {Promise<Picture[]>} in the order in which they came */
  all() {
    return finished(this.database.transaction(STORE).objectStore(STORE).getAll());
  }

  /** @returns {Promise<void>} when nothing is kept */
  async clear() {
    await this.changed((objects) => objects.clear());
  }

  /**
   * @template T
   * @param {(objects: IDBObjectStore) => IDBRequest<T>} change
   * @returns {Promise<T>} when the change is on disk
   */
  changed(change) {
    const transaction = this.database.transaction(STORE, "readwrite");
    const request = change(transaction.objectStore(STORE));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error ?? request.error);
    });
  }
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function finished(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
