// @ts-check
// The page: pictures dropped on it are hashed, kept in the browser and searched.
import {Encoder, hammingDistance} from "./encoder.js";
import {Store} from "./store.js";

const NEAREST = 12; // pictures shown for a query
const THUMBNAIL = 160; // pixels of the longer side

/** @typedef {import("./store.js").Picture} Picture */

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
/** @type {Picture[]} */
let pictures = [];

/**
 * @param {ImageBitmap} bitmap
 * @returns {Promise<Blob>} a small copy
 */
async function thumbnailOf(bitmap) {
  const scale = Math.min(1, THUMBNAIL / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return canvas.convertToBlob({type: "image/png"});
}

/**
 * @param {Encoder} encoder
 * @param {File} file
 * @returns {Promise<Picture>} what is kept of it
 */
async function hashed(encoder, file) {
  const bitmap = await createImageBitmap(file);
  try {
    return {name: file.name, code: await encoder.encode(bitmap), thumbnail: await thumbnailOf(bitmap)};
  } finally {
    bitmap.close();
  }
}

/**
 * Hash files one after the other. One that cannot be taken is named, and the others go on.
 * @param {Encoder} encoder
 * @param {Store} store
 * @param {File[]} files
 */
async function add(encoder, store, files) {
  const progress = /** @type {HTMLProgressElement} */ (element("progress"));
  [progress.max, progress.value, progress.hidden] = [files.length, 0, false];
  element("refused").replaceChildren();
  /** @type {Picture[]} */
  const added = [];
  for (const file of files) {
    element("status").textContent = `Hashing ${file.name} …`;
    try {
      const picture = await hashed(encoder, file);
      await store.add(picture);
      added.push(picture);
    } catch (error) {
      const line = document.createElement("li");
      line.textContent = `${file.name} was not taken: ${error}`;
      element("refused").append(line);
    }
    ++progress.value;
  }
  progress.hidden = true;
  pictures.push(...added);
  element("status").textContent = `${added.length} of ${files.length} pictures added.`;
  show();
  if (added.length > 0) search(added[0]);
}

/** @param {Store} store */
async function forget(store) {
  await store.clear();
  pictures = [];
  element("found").hidden = true;
  element("refused").replaceChildren();
  element("status").textContent = "All pictures are forgotten.";
  show();
}

/** @param {Picture} query */
function search(query) {
  const found = pictures
    .map((picture) => ({picture, distance: hammingDistance(query.code, picture.code)}))
    .sort((left, right) => left.distance - right.distance)
    .filter(({picture}) => picture !== query)
    .slice(0, NEAREST);
  element("query").textContent = `Nearest to ${query.name}`;
  const tiles = found.map(({picture, distance}) => tile(picture, distance === 1 ? "1 bit" : `${distance} bits`));
  element("nearest").replaceChildren(tile(query, "the query"), ...tiles);
  element("found").hidden = found.length === 0;
  if (found.length === 0) element("status").textContent = "There is no other picture yet.";
  for (const button of element("all").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.id) === query.id));
  }
}

/**
 * @param {Picture} picture
 * @param {string} [remark] above its name
 */
function tile(picture, remark) {
  const [item, button, image, name] = ["li", "button", "img", "span"].map((tag) => document.createElement(tag));
  const url = URL.createObjectURL(picture.thumbnail);
  Object.assign(image, {src: url, alt: picture.name, onload: () => URL.revokeObjectURL(url)});
  Object.assign(name, {className: "name", textContent: picture.name, title: picture.name});
  Object.assign(button, {type: "button"});
  button.onclick = () => {
    search(picture);
    element("found").scrollIntoView({behavior: "smooth"});
  };
  button.dataset.id = String(picture.id);
  button.append(image);
  if (remark !== undefined) {
    const line = document.createElement("span");
    Object.assign(line, {className: "remark", textContent: remark});
    button.append(line);
  }
  button.append(name);
  item.append(button);
  return item;
}

function show() {
  element("kept").hidden = pictures.length === 0;
  element("count").textContent = pictures.length === 1 ? "1 picture is kept" : `${pictures.length} pictures are kept`;
  element("all").replaceChildren(...pictures.map((picture) => tile(picture)));
}

/**
 * Load the encoder and what is kept.
 * @returns {Promise<{encoder: Encoder, store: Store}>}
 */
async function start() {
  const encoder = await Encoder.load("int8");
  const store = await Store.open(encoder.checksum);
  pictures = await store.all();
  element("bits").textContent = String(encoder.numBits);
  element("status").textContent = "Ready.";
  show();
  return {encoder, store};
}

/** Listen from the first moment: a picture that is dropped early waits for the encoder. */
function listen() {
  const started = start();
  /** @type {Promise<unknown>} */
  let work = started; // one thing after the other
  /** @param {() => Promise<unknown>} next */
  const then = (next) => {
    work = work.then(next).catch((error) => (element("status").textContent = `That failed: ${error}`));
  };
  started.catch((error) => (element("status").textContent = `The encoder does not start: ${error}`));
  /** @param {Iterable<File>} files */
  const take = (files) => {
    const heap = [...files]; // now: the list of a drop is empty later
    if (heap.length > 0) then(async () => started.then(({encoder, store}) => add(encoder, store, heap)));
  };
  const input = /** @type {HTMLInputElement} */ (element("files"));
  input.onchange = () => {
    take(input.files ?? []);
    input.value = ""; // the same files may be chosen again
  };
  const drop = element("drop");
  document.ondragover = (event) => {
    event.preventDefault();
    drop.classList.add("over");
  };
  document.ondragleave = () => drop.classList.remove("over");
  document.ondrop = (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer?.files ?? []);
  };
  element("clear").onclick = () => then(async () => forget((await started).store));
}

listen();
