// The net: the same layers in the same order as the exported C, every number rounded as C's float is.
const round = Math.fround;

const FUNCTIONS = {
  relu: (x) => (x > 0 ? x : 0),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  tanh: Math.tanh,
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  silu: (x) => x / (1 + Math.exp(-x)),
  elu: (x, alpha) => (x > 0 ? x : alpha * Math.expm1(x)),
  leaky_relu: (x, slope) => (x > 0 ? x : slope * x),
};

function erf(x) {
  // Taylor's series, where it converges quickly; beyond it erf is 1 to more places than a float has.
  if (Math.abs(x) > 4.5) return Math.sign(x);
  let term = x, sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= -x * x / n;
    sum += term / (2 * n + 1);
  }
  return 2 / Math.sqrt(Math.PI) * sum;
}

// Of a window that begins at `at`, the part that lies in the image; the rest is 0.
const inside = (at, kernel, size) => [Math.max(0, -at), Math.min(kernel, size - at)];

function convolve(layer, image) {
  const [channels, height, width] = layer.input, [filters, outHeight, outWidth] = layer.output;
  const [kernelHeight, kernelWidth] = layer.kernel, area = kernelHeight * kernelWidth;
  const { weight, bias } = layer, out = new Float32Array(filters * outHeight * outWidth);
  const own = layer.kind === "depthwise", each = own ? 1 : channels;  // that a filter reads
  let place = 0;
  for (let f = 0; f < filters; f++) {
    const first = own ? f : 0;
    for (let y = 0; y < outHeight; y++) {
      const top = y * layer.stride[0] - layer.padding[0], [i0, i1] = inside(top, kernelHeight, height);
      for (let x = 0; x < outWidth; x++) {
        const left = x * layer.stride[1] - layer.padding[1], [j0, j1] = inside(left, kernelWidth, width);
        let sum = bias[f];
        for (let c = first; c < first + each; c++) {
          for (let i = i0; i < i1; i++) {
            const w = (f * each + c - first) * area + i * kernelWidth, row = (c * height + top + i) * width + left;
            for (let j = j0; j < j1; j++) sum = round(sum + round(weight[w + j] * image[row + j]));
          }
        }
        out[place++] = layer.relu && sum < 0 ? 0 : sum;
      }
    }
  }
  return out;
}

function scale(layer, image) {
  const area = layer.input[1] * layer.input[2];
  return image.map((value, i) => {
    const c = Math.floor(i / area), scaled = round(round(value * layer.weight[c]) + layer.bias[c]);
    return layer.relu && scaled < 0 ? 0 : scaled;
  });
}

function pool(layer, image) {
  const [channels, height, width] = layer.input, [, outHeight, outWidth] = layer.output;
  const [kernelHeight, kernelWidth] = layer.kernel, mean = layer.kind === "mean";
  const out = new Float32Array(channels * outHeight * outWidth);
  let place = 0;
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < outHeight; y++) {
      for (let x = 0; x < outWidth; x++) {
        const first = (c * height + y * layer.stride[0]) * width + x * layer.stride[1];
        let found = mean ? 0 : image[first];
        for (let i = 0; i < kernelHeight; i++) {
          for (let j = 0; j < kernelWidth; j++) {
            const value = image[first + i * width + j];
            found = mean ? round(found + value) : Math.max(found, value);
          }
        }
        out[place++] = mean ? found / (kernelHeight * kernelWidth) : found;
      }
    }
  }
  return out;
}

/** What each layer makes of 784 pixels from 0 to 255, the logits last. */
function runNet(net, pixels) {
  let image = Float32Array.from(pixels, (pixel) => pixel / round(net.divideBy));
  return net.layers.map((layer) => {
    if (layer.kind === "conv" || layer.kind === "depthwise") image = convolve(layer, image);
    else if (layer.kind === "scale") image = scale(layer, image);
    else if (layer.kind === "activation") image = image.map((x) => FUNCTIONS[layer.function](x, round(layer.parameter)));
    else image = pool(layer, image);
    return image;
  });
}

function softmax(logits) {
  const most = Math.max(...logits), powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** The net with its weights unpacked: base 85, deflated, the first bytes of all numbers before the second ones. */
async function unpackNet(net) {
  const digits = new Map(Array.from(net.alphabet, (sign, i) => [sign, i]));
  const packed = new Uint8Array(net.weights.length / 5 * 4), view = new DataView(packed.buffer);
  for (let i = 0; i < net.weights.length; i += 5) {
    let value = 0;
    for (let j = 0; j < 5; j++) value = value * 85 + digits.get(net.weights[i + j]);
    view.setUint32(i / 5 * 4, value);
  }
  const stream = new Blob([packed.subarray(0, net.packedBytes)]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = planes.length / 4, bytes = new Uint8Array(planes.length);
  for (let i = 0; i < count; i++) for (let j = 0; j < 4; j++) bytes[4 * i + j] = planes[j * count + i];
  const numbers = Float32Array.from({ length: count }, (_, i) => new DataView(bytes.buffer).getFloat32(4 * i, true));
  let place = 0;
  const take = (size) => numbers.subarray(place, place += size);
  const layers = net.layers.map((layer) => ({ ...layer, weight: take(layer.weights), bias: take(layer.biases) }));
  return { ...net, layers };
}
