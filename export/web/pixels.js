// @ts-check
// From a picture to the pixels that the encoder takes: upright, opaque, in sRGB, resized as training resized.

/**
 * Bilinear weights of one axis: half-pixel centres, widened when shrinking so that no pixel is skipped.
 * @param {number} source pixels of the picture
 * @param {number} target pixels wanted
 * @returns {{start: number, weights: Float32Array}[]} for each target pixel, where its source pixels begin, and their
 *   weights, which sum to 1
 */
export function resizeWeights(source, target) {
  const scale = source / target;
  const reach = Math.max(scale, 1); // the triangle's half width in source pixels
  return Array.from({length: target}, (_, index) => {
    const centre = (index + 0.5) * scale - 0.5;
    const start = Math.max(0, Math.floor(centre - reach));
    const end = Math.min(source, Math.ceil(centre + reach) + 1);
    const triangle = Array.from({length: end - start}, (_, i) => Math.max(0, 1 - Math.abs(centre - start - i) / reach));
    const sum = triangle.reduce((total, weight) => total + weight, 0);
    return {start, weights: Float32Array.from(triangle, (weight) => weight / sum)};
  });
}

/**
 * Resize, rows first, and round halves to even.
 * @param {Uint8Array} pixels row by row, channels together
 * @param {number[]} shape height, width, channels of the picture
 * @param {number} height wanted
 * @param {number} width wanted
 * @returns {Uint8Array} height x width x channels
 */
export function resize(pixels, [fromHeight, fromWidth, channels], height, width) {
  if (fromHeight === height && fromWidth === width) return pixels;
  const row = fromWidth * channels;
  const squeezed = new Float32Array(height * row);
  resizeWeights(fromHeight, height).forEach(({start, weights}, y) => {
    const sums = new Float64Array(row);
    weights.forEach((weight, i) => {
      if (weight === 0) return;
      const from = (start + i) * row;
      for (let x = 0; x < row; ++x) sums[x] += weight * pixels[from + x];
    });
    squeezed.set(sums, y * row);
  });
  const result = new Uint8Array(height * width * channels);
  resizeWeights(fromWidth, width).forEach(({start, weights}, x) => {
    for (let y = 0; y < height; ++y) {
      for (let channel = 0; channel < channels; ++channel) {
        let sum = 0;
        for (let i = 0; i < weights.length; ++i) {
          sum += weights[i] * squeezed[y * row + (start + i) * channels + channel];
        }
        result[(y * width + x) * channels + channel] = rounded(Math.fround(sum));
      }
    }
  });
  return result;
}

/**
 * @param {number} value of a pixel
 * @returns {number} the nearest whole number in 0..255, of two equally near ones the even
 */
function rounded(value) {
  const below = Math.floor(value);
  const odd = below % 2 === 1 ? 1 : 0;
  return Math.min(255, Math.max(0, value - below === 0.5 ? below + odd : Math.round(value)));
}

/**
 * Take grey or colour from a canvas' pixels. Grey is luma as Pillow computes it.
 * @param {ImageData} image red, green, blue, alpha
 * @param {number} channels 1 or 3
 * @returns {Uint8Array} row by row, channels together
 */
export function channelsOf(image, channels) {
  const {data} = image;
  const count = image.width * image.height;
  const result = new Uint8Array(count * channels);
  for (let i = 0, from = 0; i < count; ++i, from += 4) {
    if (channels === 1) {
      result[i] = (19595 * data[from] + 38470 * data[from + 1] + 7471 * data[from + 2] + 32768) >> 16;
    } else {
      for (let channel = 0; channel < 3; ++channel) result[3 * i + channel] = data[from + channel];
    }
  }
  return result;
}

/**
 * Decode a picture by the browser.
 * @param {Blob | ImageBitmap} picture a file in a format that the browser knows, or one that is decoded
 * @param {number} ground grey level that shows where it is transparent
 * @returns {Promise<ImageData>} its pixels, turned as its EXIF tag says, over the ground
 */
export async function decode(picture, ground = 255) {
  const bitmap = picture instanceof ImageBitmap ? picture : await createImageBitmap(picture);
  try {
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d", {willReadFrequently: true, colorSpace: "srgb"});
    if (context === null) throw new Error("the browser gives no canvas of this size; shrink the picture");
    context.fillStyle = `rgb(${ground} ${ground} ${ground})`;
    context.fillRect(0, 0, bitmap.width, bitmap.height);
    context.drawImage(bitmap, 0, 0);
    const image = context.getImageData(0, 0, bitmap.width, bitmap.height);
    // Some browsers draw nothing on a canvas that is too large, and say nothing.
    if (image.data[3] !== 255) throw new Error("the picture is too large for this browser; shrink it");
    return image;
  } finally {
    if (bitmap !== picture) bitmap.close();
  }
}
