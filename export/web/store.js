// @ts-check
// The codes and small pictures that the page keeps, in the browser's own database.

const STORE = "pictures";

/** @typedef {{id?: number, name: string, code: Uint8Array, thumbnail: Blob}} Picture */

/** Pictures of one model: those of another have codes that cannot be compared. */
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
    const request = indexedDB.open(`dshgan ${model}`, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, {keyPath: "id", autoIncrement: true});
    return new Store(await finished(request));
  }

  /**
   * @param {Picture} picture
   * @returns {Promise<void>} when it is kept
   */
  async add(picture) {
    picture.id = Number(await finished(this.objects("readwrite").add(picture)));
  }

  /** @returns {Promise<Picture[]>} in the order in which they came */
  all() {
    return finished(this.objects("readonly").getAll());
  }

  /** @returns {Promise<void>} when nothing is kept */
  async clear() {
    await finished(this.objects("readwrite").clear());
  }

  /** @param {IDBTransactionMode} mode */
  objects(mode) {
    return this.database.transaction(STORE, mode).objectStore(STORE);
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
