// The page: a paper to draw on or to drop a photo on, and what the net makes of it at once.
const paper = document.getElementById("paper"), pen = paper.getContext("2d", { willReadFrequently: true });
const byId = (id) => document.getElementById(id);
const SIDE = 28, WIDTH_OF_PEN = 42, STEP = 28, SMALL_STEP = 7, LARGEST = 2048, WAIT = 600;
// A net for whole pictures sees the paper itself, so it has the ground of its training.
const [PAPER, INK] = NET.light ? ["#fff", "#000"] : ["#000", "#fff"];
document.documentElement.classList.toggle("light", NET.light);
let strokes = [], photo = null, live = null, net = null, waiting = false, timer = 0, reading = "";

/** With a space that does not break; nothing is certain. */
const percent = (p) => (p >= 0.9995 ? "over 99.9\u00a0%" : p < 0.0005 ? "0\u00a0%" : `${(100 * p).toFixed(1)}\u00a0%`);

function redraw() {
  pen.fillStyle = PAPER;
  pen.fillRect(0, 0, paper.width, paper.height);
  if (photo) {
    const factor = Math.min(paper.width / photo.width, paper.height / photo.height);
    const width = photo.width * factor, height = photo.height * factor;
    pen.imageSmoothingEnabled = photo.width > 2 * SIDE;
    pen.drawImage(photo, (paper.width - width) / 2, (paper.height - height) / 2, width, height);
  }
  strokes.forEach(drawStroke);
  byId("hint").hidden = photo !== null || strokes.length > 0;
  byId("undo").disabled = strokes.length === 0;
}

function drawStroke(points) {
  pen.strokeStyle = pen.fillStyle = INK;
  pen.lineWidth = WIDTH_OF_PEN;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(...points[0]);
  points.forEach((point) => pen.lineTo(...point));
  if (points.length === 1) pen.lineTo(points[0][0] + 0.01, points[0][1]);
  pen.stroke();
}

/** Reads the photo itself, at its own size, or what has been drawn. */
function readSoon() {
  if (waiting || !net) return;  // what is drawn before the net is there is read once it is
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    if (!photo && strokes.length === 0) return show(null);
    const source = photo && strokes.length === 0 ? photo : paper;
    show(read(pixelsOf(source)));
  });
}

const pixelsOf = (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);

/** What the net says of an ImageData: the way of every picture, drawn or not. */
function read(picture) {
  const began = performance.now();
  const prepare = NET.preparation === "mnist" ? preparePhoto : resizePhoto;
  const prepared = prepare(picture.data, picture.width, picture.height);
  const made = runNet(net, prepared.image), logits = made[made.length - 1];
  const probabilities = softmax(logits);
  return { prepared, logits, probabilities, first: made[0], answer: logits.indexOf(Math.max(...logits)),
    milliseconds: performance.now() - began };
}

function show(found) {
  const classes = NET.classes, digit = byId("digit");
  if (!found) {
    digit.textContent = "?";
    digit.className = "";
    byId("sure").textContent = "Nothing drawn yet.";
    byId("warning").textContent = byId("timing").textContent = "";
    say(reading = "");
    paint(byId("prepared"), new Uint8Array(SIDE * SIDE).fill(NET.light ? 255 : 0), 255, SIDE);
    showBars(classes.map(() => 0), -1);
    return showMaps(null);
  }
  const { probabilities, answer, prepared } = found;
  const order = probabilities.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a]);
  digit.textContent = classes[answer];
  digit.className = classes[answer].length > 2 ? "word" : "";
  const next = probabilities[order[1]], second = next < 0.0005 ? "" : `; second choice ${classes[order[1]]}, ${percent(next)}`;
  byId("sure").textContent = `${percent(probabilities[answer])} sure${second}`;
  byId("warning").textContent = prepared.warnings.join("; ");
  byId("timing").textContent = `The last picture took ${found.milliseconds.toFixed(0)} ms.`;
  const warned = prepared.warnings.length ? ` Warning: ${prepared.warnings.join("; ")}.` : "";
  say(reading = `Read as ${classes[answer]}, ${percent(probabilities[answer])} sure${second}.${warned}`);
  paint(byId("prepared"), prepared.image, 255, SIDE);
  showBars(probabilities, answer);
  showMaps(found.first);
}

/** For a screen reader, once the hand rests. */
function say(words) {
  clearTimeout(timer);
  timer = setTimeout(() => { byId("spoken").textContent = words; }, WAIT);
}

function showBars(probabilities, best) {
  Array.from(byId("bars").children).forEach((row, i) => {
    row.className = i === best ? "best" : "";
    row.querySelector(".fill").style.width = `${100 * probabilities[i]}%`;
    row.querySelector(".value").textContent = best < 0 ? "" : percent(probabilities[i]).replace("over ", "> ");
  });
}

function showMaps(first) {
  const [, height, width] = net.layers[0].output, area = height * width;
  const most = first ? first.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1 : 1;
  Array.from(byId("maps").children).forEach((canvas, i) => {
    paint(canvas, first ? first.subarray(i * area, (i + 1) * area).map(Math.abs) : new Float32Array(area), most, width);
  });
}

/** Numbers from 0 to `most` as black to white, the middle ones warm. */
function paint(canvas, values, most, width) {
  const picture = new ImageData(width, values.length / width);
  values.forEach((value, i) => {
    const t = value / most, warm = canvas.id === "prepared" ? 0 : Math.sin(Math.PI * t);
    picture.data.set([255 * Math.min(1, t + 0.35 * warm), 255 * t, 255 * Math.max(0, t - 0.2 * warm), 255], 4 * i);
  });
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

function clear() {
  strokes = [];
  photo = null;
  lift();
  redraw();
  readSoon();
}

function undo() {
  strokes.pop();
  lift();
  redraw();
  readSoon();
}

/** Ends a stroke, whatever drew it: the keyboard's pen would go on with one that is gone, or somebody else's. */
function lift() {
  live = null;
  hand.down = false;
  byId("cursor").classList.remove("down");
}

async function open(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    byId("sure").textContent = `${file.name || "this"} is no picture that the browser can open.`;
    return say(byId("sure").textContent);
  }
  const factor = Math.min(1, LARGEST / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * factor));
  canvas.height = Math.max(1, Math.round(bitmap.height * factor));
  canvas.getContext("2d", { willReadFrequently: true }).drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  clear();
  photo = canvas;
  redraw();
  readSoon();
}

function begin(point) {
  live = [point];
  strokes.push(live);
}

function extend(point) {
  live.push(point);
  redraw();
  readSoon();
}

function placeOf(event) {
  const box = paper.getBoundingClientRect();
  return [(event.clientX - box.left) * paper.width / box.width, (event.clientY - box.top) * paper.height / box.height];
}

paper.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  paper.setPointerCapture(event.pointerId);
  byId("cursor").hidden = true;
  lift();
  begin(placeOf(event));
  redraw();
  readSoon();
});
paper.addEventListener("pointermove", (event) => {
  if (!paper.hasPointerCapture(event.pointerId) || !live) return;
  const all = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  (all.length ? all : [event]).forEach((each) => extend(placeOf(each)));
});
for (const end of ["pointerup", "pointercancel"]) paper.addEventListener(end, () => { live = null; });

const hand = { x: 280, y: 140, down: false };
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
paper.addEventListener("keydown", (event) => {
  const move = MOVES[event.key], cursor = byId("cursor");
  if (move) {
    const step = event.shiftKey ? SMALL_STEP : STEP;
    hand.x = Math.min(paper.width, Math.max(0, hand.x + step * move[0]));
    hand.y = Math.min(paper.height, Math.max(0, hand.y + step * move[1]));
    if (hand.down && live) extend([hand.x, hand.y]);
  } else if (event.key === " ") {
    hand.down = !hand.down;
    if (hand.down) {
      begin([hand.x, hand.y]);
      redraw();
      readSoon();
    } else live = null;
    say(hand.down ? "Pen down." : `Pen up. ${reading}`);
  } else if (event.key === "Delete" || event.key === "Backspace") {
    clear();
  } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
    undo();
  } else return;
  event.preventDefault();
  cursor.hidden = false;
  cursor.classList.toggle("down", hand.down);
  cursor.style.left = `${100 * hand.x / paper.width}%`;
  cursor.style.top = `${100 * hand.y / paper.height}%`;
});

byId("clear").addEventListener("click", clear);
byId("undo").addEventListener("click", undo);
byId("photo").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", (event) => {
  if (event.target.files[0]) open(event.target.files[0]);
  event.target.value = "";
});
addEventListener("dragover", (event) => { event.preventDefault(); byId("drop").classList.add("over"); });
addEventListener("dragleave", () => byId("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => {
  const file = Array.from(event.clipboardData.files).find((each) => each.type.startsWith("image/"));
  if (file) open(file);
});

const ready = unpackNet(NET).then((unpacked) => {
  net = unpacked;
  NET.classes.forEach((name) => {
    const row = byId("bars").appendChild(document.createElement("li"));
    for (const part of ["name", "track", "value"]) row.appendChild(document.createElement("span")).className = part;
    row.children[0].textContent = name;
    row.children[1].appendChild(document.createElement("div")).className = "fill";
  });
  const [filters, height, width] = net.layers[0].output;
  for (let i = 0; i < Math.min(filters, 16); i++) {
    const canvas = byId("maps").appendChild(document.createElement("canvas"));
    [canvas.width, canvas.height] = [width, height];
  }
  redraw();
  readSoon();
});
ready.catch((error) => {
  byId("sure").textContent = "This browser cannot unpack the network: Firefox 113, Safari 16.4 or Chrome 103, or a later version, is needed.";
  say(byId("sure").textContent);
  console.error(error);
});
