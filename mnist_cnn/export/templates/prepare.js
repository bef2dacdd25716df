// A picture of a digit brought to 28 x 28 pixels as MNIST's were: mnist_cnn/data/photo.py, ink.py and scaling.py, line by
// line. Images are { height, width, values }, row by row.
const BOX = 20, MIDDLE = 14, THIN = 2, THICK = 4, HALF = 128, FAINT = 25, TINY = 32, SMALL = 12, LARGE = 0.6;
const FINE = 128, COARSE = 256, TIE = 1e-6;
const ROUNDS = 3, RING = 16, NEAR = 1.5, NOISE = 2.5, LEAST = 2, UNIT = 128, STIFF = 1e-4, WINDOW = 4;
const PRECISION = 2 ** 22; // of a weight of a pixel
const FRAME = 0.3, BIG_ENOUGH = 0.02, DUST = 0.03;
const TERMS = [[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]; // of the surface: powers of x and y

const image = (height, width, values = new Float64Array(height * width)) => ({ height, width, values });
function mapped(from, change) {
  const found = image(from.height, from.width);
  for (let i = 0; i < found.values.length; i++) found.values[i] = change(from.values[i], i);
  return found;
}
const clip = (value, low, high) => Math.min(Math.max(value, low), high);
function sumOf(values) {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum;
}
const floorDivide = (a, b) => Math.floor(a / b);

/** From RGBA bytes: { image: 784 bytes, ink, warnings }. */
function preparePhoto(data, width, height) {
  const grey = toGrey(data, width, height);
  if (isLikeMnist(grey)) return { image: Uint8Array.from(grey.values), ink: "as it is", warnings: [] };
  const inverted = mapped(grey, (value) => 255 - value);
  if (isLikeMnist(inverted)) return { image: Uint8Array.from(inverted.values), ink: "dark", warnings: [] };
  const tight = Math.max(height, width) < TINY;
  const { work, finer, coarser } = rescaled(grey), ink = findInk(work, tight);
  if (!ink.mask.some(Boolean)) return { image: new Uint8Array(784), ink: "none", warnings: ["no ink was found"] };
  const mask = partsOfDigit(image(work.height, work.width, ink.mask), tight);
  const near = grown(image(work.height, work.width, Float64Array.from(mask.values)), 1.5).values;
  const soft = mapped(ink.contrast, (value, i) => clip((value - ink.level / 4) / (ink.level / 2) * 255, 0, 255) * near[i]);
  const box = boundsOf(mask, (value) => value > 0), [top, left, bottom, right] = box;
  const digit = withUsualPen(cut(soft, box)), covered = sumOf(mask.values) / mask.values.length;
  const size = Math.max(bottom - top, right - left) * coarser / finer;
  const warnings = [];
  if (ink.level < FAINT) warnings.push(`its ink is only ${roundHalfEven(ink.level)} of 255 grey levels from its paper`);
  if (covered > LARGE) warnings.push(`ink covers ${roundHalfEven(100 * covered)}% of it`);
  if (size < SMALL) warnings.push(`its digit is only ${roundHalfEven(size)} pixels large`);
  if (Math.min(top, left, work.height - bottom, work.width - right) === 0) warnings.push("its ink reaches the edge");
  return { image: centred(fitted(digit)), ink: ink.dark ? "dark" : "light", warnings };
}

/** The whole picture scaled, for a net that was trained on such: as Pillow's BILINEAR, to the same bytes. */
function resizePhoto(data, width, height) {
  const narrow = averaged(toGrey(data, width, height), 28), small = transposed(averaged(transposed(narrow), 28));
  return { image: Uint8Array.from(small.values), ink: "as it is", warnings: [] };
}

/** Rows of a new width: each pixel the mean of those around it, with weights that fall in straight lines. */
function averaged(from, width) {
  const found = image(from.height, width), scale = from.width / width, reach = Math.max(scale, 1);
  for (let x = 0; x < width; x++) {
    const centre = (x + 0.5) * scale, first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const count = Math.min(from.width, Math.trunc(centre + reach + 0.5)) - first;
    const weights = Array.from({ length: count }, (_, i) => Math.max(0, 1 - Math.abs((i + first - centre + 0.5) / reach)));
    const sum = sumOf(weights), whole = weights.map((weight) => Math.trunc(0.5 + weight / sum * PRECISION));
    for (let y = 0; y < from.height; y++) {
      let mean = PRECISION / 2;
      for (let i = 0; i < count; i++) mean += from.values[y * from.width + first + i] * whole[i];
      found.values[y * width + x] = clip(Math.floor(mean / PRECISION), 0, 255);
    }
  }
  return found;
}

function toGrey(data, width, height) {
  const grey = image(height, width);
  for (let i = 0; i < grey.values.length; i++) {
    const alpha = data[4 * i + 3], white = 255 * (255 - alpha) + 127;
    const red = floorDivide(data[4 * i] * alpha + white, 255), green = floorDivide(data[4 * i + 1] * alpha + white, 255);
    const blue = floorDivide(data[4 * i + 2] * alpha + white, 255);
    grey.values[i] = floorDivide(299 * red + 587 * green + 114 * blue + 500, 1000);
  }
  return grey;
}

function isLikeMnist(grey) {
  if (grey.height !== 28 || grey.width !== 28 || !grey.values.some(Boolean)) return false;
  const [top, left, bottom, right] = boundsOf(grey, (value) => value > 0);
  return Math.max(bottom - top, right - left) <= BOX && centreOf(grey).every((place) => Math.abs(place - MIDDLE) < 0.6);
}

function withUsualPen(digit) {
  const scale = Math.max(digit.height, digit.width) / BOX, width = strokeWidth(digit) / scale;
  if (width < THIN) {
    const reach = (THIN - width) / 2 * scale;
    return grown(padded(digit, Math.floor(reach) + 1), reach);
  }
  if (width > THICK) {
    const paper = mapped(padded(digit, 1), (value) => 255 - value);
    const thinner = mapped(grown(paper, (width - THICK) / 2 * scale), (value) => 255 - value);
    return thinner.values.some((value) => value >= HALF) ? thinner : digit;
  }
  return digit;
}

function strokeWidth(digit) {
  const ink = padded(mapped(digit, (value) => Number(value >= HALF)), 1), { width, values } = ink;
  let edges = 0;
  for (let i = 0; i + 1 < values.length; i++) {
    edges += Math.abs(values[i + 1] - values[i]); // across the ends of rows too, where all is 0
    if (i + width < values.length) edges += Math.abs(values[i + width] - values[i]);
  }
  return 2 * sumOf(values) / (edges * Math.PI / 4);
}

function fitted(digit) {
  const part = cut(digit, boundsOf(digit, (value) => value >= HALF)), longer = Math.max(part.height, part.width);
  const [height, width] = [part.height, part.width].map((side) => Math.max(1, floorDivide(2 * side * BOX + longer, 2 * longer)));
  const rows = shares(height, part.height), columns = shares(width, part.width), found = image(height, width);
  for (let y = 0; y < height; y++) {
    const line = new Float64Array(part.width);
    for (let i = 0; i < part.height; i++) {
      if (rows[y][i]) for (let x = 0; x < part.width; x++) line[x] += rows[y][i] * part.values[i * part.width + x];
    }
    for (let x = 0; x < width; x++) {
      found.values[y * width + x] = Math.floor(columns[x].reduce((sum, share, i) => sum + share * line[i], 0) + 0.5 + TIE);
    }
  }
  return found;
}

function centred(digit) {
  const found = new Uint8Array(784), centre = centreOf(digit), sides = [digit.height, digit.width];
  const [top, left] = sides.map((side, i) => Math.min(Math.max(0, Math.floor(MIDDLE - centre[i] + 0.5)), 28 - side));
  for (let y = 0; y < digit.height; y++) {
    for (let x = 0; x < digit.width; x++) found[(top + y) * 28 + left + x] = digit.values[y * digit.width + x];
  }
  return found;
}

function boundsOf({ height, width, values }, isInk) {
  let [top, left, bottom, right] = [height, width, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!isInk(values[y * width + x])) continue;
      top = Math.min(top, y);
      left = Math.min(left, x);
      bottom = y + 1;
      right = Math.max(right, x + 1);
    }
  }
  return [top, left, bottom, right];
}

function centreOf({ width, values }) {
  const whole = sumOf(values);
  const rows = values.reduce((sum, value, i) => sum + value * Math.floor(i / width), 0);
  return [rows / whole, values.reduce((sum, value, i) => sum + value * (i % width), 0) / whole];
}

function cut(from, [top, left, bottom, right]) {
  const found = image(bottom - top, right - left);
  for (let y = top; y < bottom; y++) {
    found.values.set(from.values.subarray(y * from.width + left, y * from.width + right), (y - top) * found.width);
  }
  return found;
}

function padded(from, by) {
  const found = image(from.height + 2 * by, from.width + 2 * by);
  for (let y = 0; y < from.height; y++) {
    found.values.set(from.values.subarray(y * from.width, (y + 1) * from.width), (y + by) * found.width + by);
  }
  return found;
}

// --- scaling.py ---

function rescaled(grey) {
  const longer = Math.max(grey.height, grey.width);
  if (longer > COARSE) {
    const block = Math.ceil(longer / COARSE);
    return { work: blocks(grey, block), finer: 1, coarser: block };
  }
  if (longer >= FINE) return { work: grey, finer: 1, coarser: 1 };
  const times = Math.ceil(FINE / longer), fine = transposed(between(transposed(between(grey, times)), times));
  const work = mapped(fine, (value) => floorDivide(value + 2 * times ** 2, 4 * times ** 2));
  return { work, finer: times, coarser: 1 };
}

function blocks(grey, block) {
  const found = image(Math.ceil(grey.height / block), Math.ceil(grey.width / block)), counts = new Float64Array(found.values.length);
  for (let y = 0; y < grey.height; y++) {
    for (let x = 0; x < grey.width; x++) {
      const place = Math.floor(y / block) * found.width + Math.floor(x / block);
      found.values[place] += grey.values[y * grey.width + x];
      counts[place] += 1;
    }
  }
  return mapped(found, (sum, i) => floorDivide(2 * sum + counts[i], 2 * counts[i]));
}

function between(from, times) {
  const found = image(from.height * times, from.width);
  for (let y = 0; y < found.height; y++) {
    const place = 2 * y + 1 - times, above = floorDivide(place, 2 * times), part = place - above * 2 * times;
    const [first, second] = [above, above + 1].map((row) => clip(row, 0, from.height - 1) * from.width);
    for (let x = 0; x < from.width; x++) {
      found.values[y * from.width + x] = from.values[first + x] * (2 * times - part) + from.values[second + x] * part;
    }
  }
  return found;
}

function transposed(from) {
  const found = image(from.width, from.height);
  for (let y = 0; y < from.height; y++) {
    for (let x = 0; x < from.width; x++) found.values[x * from.height + y] = from.values[y * from.width + x];
  }
  return found;
}

function shares(count, length) {
  return Array.from({ length: count }, (_, i) => {
    const first = i * length / count;
    return Float64Array.from({ length }, (_, pixel) => {
      return Math.max(0, Math.min(first + length / count, pixel + 1) - Math.max(first, pixel)) * count / length;
    });
  });
}

function grown(from, reach) {
  const { height, width, values } = from, found = mapped(from, (value) => value), most = Math.floor(reach);
  for (let dy = -most; dy <= most; dy++) {
    for (let dx = -most; dx <= most; dx++) {
      if (dy * dy + dx * dx > reach * reach) continue;
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const row = y + dy, column = x + dx, place = y * width + x;
          const near = row < 0 || row >= height || column < 0 || column >= width ? 0 : values[row * width + column];
          if (near > found.values[place]) found.values[place] = near;
        }
      }
    }
  }
  return found;
}

// --- ink.py ---

function findInk(grey, tight) {
  const { height, width, values } = grey, size = values.length, contrast = image(height, width);
  let paper = tight ? lightestOrDarkest(grey) : paperFromFrame(grey), cubes = 0, level = 0, floor = 0;
  for (let i = 0; i < size; i++) cubes += (values[i] - paper[i]) * (values[i] - paper[i]) * (values[i] - paper[i]);
  const dark = cubes <= 0;
  for (let still = tight ? 0 : ROUNDS - 1; still >= 0; still--) {
    let squares = 0, behind = 0, strong = 0, sum = 0;
    for (let i = 0; i < size; i++) {
      const above = dark ? paper[i] - values[i] : values[i] - paper[i];
      contrast.values[i] = clip(above, 0, 255);
      if (above < 0) {
        behind++;
        squares += above * above;
      }
    }
    floor = NOISE * Math.sqrt(squares / Math.max(behind, 1)) + LEAST;
    const least = Math.max(otsu(contrast.values), floor);
    for (let i = 0; i < size; i++) {
      if (contrast.values[i] <= least) continue;
      strong++;
      sum += contrast.values[i];
    }
    if (strong === 0) return { contrast, mask: new Uint8Array(size) };
    level = sum / strong;
    const most = Math.max(level / 4, floor), blank = marked(contrast.values, (value) => value <= most);
    if (!still || sumOf(blank) * 10 < size) break;
    paper = paperOf(grey, blank);
  }
  const least = Math.max(level / 2, floor);
  return { contrast, dark, mask: marked(contrast.values, (value) => value > least), level };
}

function marked(values, holds) {
  const found = new Uint8Array(values.length);
  for (let i = 0; i < found.length; i++) found[i] = holds(values[i], i) ? 1 : 0;
  return found;
}

/** The surface of the second degree in x and y nearest to the pixels that are kept, by least squares. */
function surface({ height, width, values }, kept) {
  const powers = (side) => Array.from({ length: side }, (_, i) => {
    const place = (2 * i - (side - 1)) / (2 * UNIT);
    return [1, place, place ** 2, place ** 3, place ** 4];
  });
  const x = powers(width), y = powers(height);
  const moments = Array.from({ length: 5 }, () => new Float64Array(5)), sums = Array.from({ length: 3 }, () => new Float64Array(3));
  for (let row = 0; row < height; row++) {
    const line = new Float64Array(8); // of this row: sums of the powers of x, and of grey times the first three
    for (let column = 0; column < width; column++) {
      const i = row * width + column;
      if (!kept[i]) continue;
      for (let m = 0; m < 5; m++) line[m] += x[column][m];
      for (let m = 0; m < 3; m++) line[5 + m] += x[column][m] * values[i];
    }
    for (let n = 0; n < 5; n++) for (let m = 0; m < 5; m++) moments[n][m] += y[row][n] * line[m];
    for (let n = 0; n < 3; n++) for (let m = 0; m < 3; m++) sums[n][m] += y[row][n] * line[5 + m];
  }
  const equations = TERMS.map(([i, j]) => [...TERMS.map(([m, n]) => moments[j + n][i + m]), sums[j][i]]);
  for (let term = 1; term < TERMS.length; term++) equations[term][term] += STIFF * moments[0][0];
  const [one, byX, byY, byXX, byXY, byYY] = solved(equations), found = new Float64Array(values.length);
  for (let row = 0; row < height; row++) {
    const down = byY * y[row][1] + byYY * y[row][2];
    for (let column = 0; column < width; column++) {
      const along = one + byX * x[column][1] + byXX * x[column][2];
      found[row * width + column] = roundHalfEven(along + down + byXY * y[row][1] * x[column][1]);
    }
  }
  return found;
}

/** A system of equations, right sides in the last column, by Gauss with pivots. */
function solved(rows) {
  const size = rows.length;
  for (let i = 0; i < size; i++) {
    let pivot = i;
    for (let j = i + 1; j < size; j++) if (Math.abs(rows[j][i]) > Math.abs(rows[pivot][i])) pivot = j;
    [rows[i], rows[pivot]] = [rows[pivot], rows[i]];
    for (let j = i + 1; j < size; j++) {
      const factor = rows[j][i] / rows[i][i];
      for (let k = i; k <= size; k++) rows[j][k] -= factor * rows[i][k];
    }
  }
  const found = new Float64Array(size);
  for (let i = size - 1; i >= 0; i--) {
    let rest = rows[i][size];
    for (let j = i + 1; j < size; j++) rest -= rows[i][j] * found[j];
    found[i] = rest / rows[i][i];
  }
  return found;
}

function roundHalfEven(value) {
  const low = Math.floor(value), rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}

function lightestOrDarkest({ values }) {
  let low = 255, high = 0;
  for (let i = 0; i < values.length; i++) [low, high] = [Math.min(low, values[i]), Math.max(high, values[i])];
  return new Float64Array(values.length).fill(2 * sumOf(values) > (low + high) * values.length ? high : low);
}

function paperFromFrame(grey) {
  const { height, width, values } = grey, wide = Math.max(1, Math.floor(Math.min(height, width) / RING));
  const frame = marked(values, (_, i) => {
    const y = Math.floor(i / width), x = i % width;
    return y < wide || y >= height - wide || x < wide || x >= width - wide;
  });
  let kept = frame;
  for (let round = 0; round < 4; round++) {
    const found = surface(grey, kept);
    let squares = 0;
    for (let i = 0; i < values.length; i++) if (kept[i]) squares += (values[i] - found[i]) * (values[i] - found[i]);
    const most = NEAR * Math.sqrt(squares / sumOf(kept)) + LEAST;
    const near = marked(values, (value, i) => frame[i] && Math.abs(value - found[i]) <= most);
    kept = near.some(Boolean) ? near : frame;
  }
  return surface(grey, kept);
}

function paperOf(grey, blank) {
  const { height, width, values } = grey, smooth = surface(grey, blank), reach = Math.floor(Math.max(height, width) / WINDOW);
  const rest = inWindow(height, width, values.map((value, i) => (value - smooth[i]) * blank[i]), reach);
  const count = inWindow(height, width, blank, reach), whole = inWindow(height, width, blank.map(() => 1), reach);
  return smooth.map((value, i) => {
    return value + (4 * count[i] >= whole[i] ? floorDivide(2 * rest[i] + count[i], Math.max(2 * count[i], 1)) : 0);
  });
}

/** Sums over all pixels within `reach` rows and columns. */
function inWindow(height, width, values, reach) {
  const sums = new Float64Array((height + 1) * (width + 1)), found = new Float64Array(height * width), line = width + 1;
  for (let y = 0; y < height; y++) {
    for (let x = 0, row = 0; x < width; x++) {
      row += values[y * width + x];
      sums[(y + 1) * line + x + 1] = sums[y * line + x + 1] + row;
    }
  }
  for (let y = 0; y < height; y++) {
    const low = Math.max(0, y - reach) * line, high = Math.min(height, y + reach + 1) * line;
    for (let x = 0; x < width; x++) {
      const left = Math.max(0, x - reach), right = Math.min(width, x + reach + 1);
      found[y * width + x] = sums[high + right] - sums[low + right] - sums[high + left] + sums[low + left];
    }
  }
  return found;
}

function otsu(values) {
  const histogram = new Float64Array(256), whole = values.length, total = sumOf(values);
  values.forEach((value) => { histogram[value]++; });
  let best = 255, most = 0;
  for (let level = 0, count = 0, sum = 0; level < 256; level++) {
    count += histogram[level];
    sum += histogram[level] * level;
    const apart = (sum * whole - total * count) ** 2 / Math.max(count * (whole - count), 1);
    if (apart > most) [best, most] = [level, apart];
  }
  return best;
}

function partsOfDigit(ink, tight) {
  const { height, width } = ink, labels = new Int32Array(ink.values.length), areas = [0];
  for (let start = 0; start < labels.length; start++) {
    if (!ink.values[start] || labels[start]) continue;
    const label = areas.push(0) - 1, waiting = [start];
    labels[start] = label;
    while (waiting.length) {
      const place = waiting.pop(), y = Math.floor(place / width), x = place % width;
      areas[label]++;
      for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
        for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
          const near = row * width + column;
          if (ink.values[near] && !labels[near]) {
            labels[near] = label;
            waiting.push(near);
          }
        }
      }
    }
  }
  if (areas.length < 3) return ink;
  const along = areas.map(() => false), rows = [0, height - 1], columns = [0, width - 1];
  const edges = [...rows.map((y) => Array.from({ length: width }, (_, x) => labels[y * width + x])),
    ...columns.map((x) => Array.from({ length: height }, (_, y) => labels[y * width + x]))];
  for (const edge of edges) {
    const counts = areas.map(() => 0);
    edge.forEach((label) => { counts[label]++; });
    counts.forEach((count, label) => { along[label] ||= count > FRAME * edge.length; });
  }
  const inside = areas.map((area, label) => (along[label] && !tight ? 0 : area));
  const kept = Math.max(...inside) >= BIG_ENOUGH * Math.max(...areas) ? inside : areas, most = Math.max(...kept);
  return image(height, width, Uint8Array.from(labels, (label) => Number(kept[label] > 0 && kept[label] >= DUST * most)));
}
