// Print the segments of a photo by an exported file with results, with ONNX Runtime for Node:
//   npm install --ignore-scripts onnxruntime-node
//   node segments.mjs model.onnx photo.ppm
// The file: mmproscale export ... --with-preprocessing --with-fusion --size H W
// The photo: binary PPM of H x W pixels, for example by `magick photo.jpg photo.ppm`. Other decoders
// do as well: the input is H x W x 3 bytes, RGB.
import { readFileSync } from 'node:fs';
import ort from 'onnxruntime-node';

const [modelPath, photoPath] = process.argv.slice(2);
const photo = readPpm(photoPath);
const session = await ort.InferenceSession.create(modelPath);
const images = new ort.Tensor('uint8', photo.pixels, [1, photo.height, photo.width, 3]);
const results = await session.run({ images });
const names = categories(modelPath);
const panoptic = results.panoptic.data;
const areas = new Map();
for (const value of panoptic) areas.set(value, (areas.get(value) ?? 0) + 1);
const scores = new Map();
results.segment_values.data.forEach((value, query) => {
  const score = results.segment_scores.data[query];
  scores.set(value, Math.max(score, scores.get(value) ?? 0));
});
for (const [value, area] of [...areas].sort((a, b) => b[1] - a[1])) {
  const label = value % 1000;
  if (label === names.length) continue; // void
  console.log(`${names[label]} ${value} score ${scores.get(value).toFixed(3)} pixels ${area}`);
}

// ONNX Runtime for JavaScript does not read metadata: find the classes' JSON in the file's bytes.
// It is a text field of protobuf after the field of its key: tag, length (varint), text.
function categories(path) {
  const bytes = readFileSync(path);
  let place = bytes.lastIndexOf('mmproscale.categories') + 'mmproscale.categories'.length + 1;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[place++];
    length |= (byte & 127) << shift;
    if (byte < 128) break;
  }
  const text = bytes.subarray(place, place + length).toString('utf8');
  return JSON.parse(text).map((category) => category.name);
}

function readPpm(path) {
  const bytes = readFileSync(path);
  const header = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.subarray(0, 64).toString('latin1'));
  if (!header) throw new Error(`${path} is not a binary PPM with 255 levels`);
  const [width, height] = [Number(header[1]), Number(header[2])];
  return { width, height, pixels: new Uint8Array(bytes.subarray(header[0].length)) };
}
