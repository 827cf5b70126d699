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
 * @param {Blob} file
 * @returns {Promise<Blob>} a small copy
 */
async function thumbnailOf(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, THUMBNAIL / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return canvas.convertToBlob({type: "image/png"});
}

/**
 * Hash files one after the other. One that is no picture is named, and the others go on.
 * @param {Encoder} encoder
 * @param {Store} store
 * @param {File[]} files
 */
async function add(encoder, store, files) {
  const progress = /** @type {HTMLProgressElement} */ (element("progress"));
  [progress.max, progress.value, progress.hidden] = [files.length, 0, false];
  element("refused").replaceChildren();
  const before = pictures.length;
  for (const file of files) {
    element("status").textContent = `Hashing ${file.name} …`;
    try {
      const picture = {name: file.name, code: await encoder.encode(file), thumbnail: await thumbnailOf(file)};
      await store.add(picture);
      pictures.push(picture);
    } catch (error) {
      const line = document.createElement("li");
      line.textContent = `${file.name}: not a picture that this browser reads (${error})`;
      element("refused").append(line);
    }
    ++progress.value;
  }
  progress.hidden = true;
  const added = pictures.length - before;
  element("status").textContent = `${added} of ${files.length} pictures added.`;
  show();
  if (added > 0) search(pictures[before]);
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

async function start() {
  const about = await (await fetch("encoder_int8.json")).json();
  const [encoder, store] = await Promise.all([Encoder.load("int8"), Store.open(about.sha256)]);
  pictures = await store.all();
  element("bits").textContent = String(encoder.numBits);
  element("status").textContent = "Ready.";
  show();
  /** @type {Promise<void>} */
  let work = Promise.resolve(); // one heap of files at a time
  /** @param {Iterable<File>} files */
  const take = (files) => (work = work.then(() => add(encoder, store, [...files])));
  const input = /** @type {HTMLInputElement} */ (element("files"));
  input.onchange = () => take(input.files ?? []);
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
  element("clear").onclick = async () => {
    await store.clear();
    pictures = [];
    element("found").hidden = true;
    element("status").textContent = "All pictures are forgotten.";
    show();
  };
}

start().catch((error) => (element("status").textContent = `The encoder does not start: ${error}`));
