/** Occlusion maps: how much every part of an image speaks for an answer; as `occlusion_maps` of the Python runtime. */

const SIDE = 28;
const PIXELS = SIDE * SIDE;
const SQUARE = 6;
const STEP = 2;

/**
 * @param {(images: Uint8Array) => Promise<Float32Array>} predict N·784 → N·C
 * @param {Uint8Array} image 784, white ink on black
 * @param {number} digit the class that is asked about
 * @returns {Promise<number[]>} 784, −1 to 1: positive where the class needs what is there
 */
export async function occlusionMap(predict, image, digit) {
  const squares = hidden();
  const images = new Uint8Array((squares.length + 1) * PIXELS);
  images.set(image);
  squares.forEach((pixels, place) => {
    const start = (place + 1) * PIXELS;
    images.set(image, start);
    for (const pixel of pixels) images[start + pixel] = 0;
  });
  const answers = await predict(images);
  const classes = answers.length / (squares.length + 1);
  const falls = new Float64Array(PIXELS);
  const covered = new Float64Array(PIXELS);
  squares.forEach((pixels, place) => {
    const fall = answers[digit] - answers[(place + 1) * classes + digit];
    for (const pixel of pixels) {
      falls[pixel] += fall;
      covered[pixel] += 1;
    }
  });
  return Array.from(falls, (fall, pixel) => fall / covered[pixel]);
}

/** The pixels that each position of the square hides; it hangs over the edges. */
function hidden() {
  const starts = [];
  for (let start = STEP - SQUARE; start < SIDE; start += STEP) starts.push(start);
  const within = (start) => [...Array(SQUARE).keys()].map((step) => start + step).filter((at) => at >= 0 && at < SIDE);
  return starts.flatMap((top) =>
    starts.map((left) => within(top).flatMap((row) => within(left).map((column) => row * SIDE + column))),
  );
}
