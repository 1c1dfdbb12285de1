/**
 * Pictures in rows of one width, each with its own shape: computed from sizes alone, before any
 * picture is there.
 *
 * @typedef {{x: number, y: number, width: number, height: number}} Cell
 * @typedef {{top: number, height: number, first: number, end: number}} Row  cells first … end - 1
 */

export const GAP = 4;
const NARROWEST = 0.5; // width / height of a cell; what is beyond is shown whole in it
const WIDEST = 3.5;
const TALLEST = 1.45; // of a row, in heights that were asked for

/** @param {{width: number, height: number}} size */
export function shape({ width, height }) {
  return Math.min(WIDEST, Math.max(NARROWEST, width / height || 1));
}

/** Whether a cell of the picture's own shape would be too long, or larger than the picture. */
export function isOdd({ width, height }) {
  const own = width / height;
  return own < NARROWEST || own > WIDEST || Math.max(width, height) < 160;
}

/**
 * @param {{width: number, height: number}[]} pictures
 * @param {number} width of all rows  @param {number} wanted height of a row
 * @returns {{cells: Cell[], rows: Row[], height: number}}
 */
export function justify(pictures, width, wanted) {
  const cells = [];
  const rows = [];
  let top = 0;
  let first = 0;
  let shapes = 0;
  const close = (end, height) => {
    let x = 0;
    for (let i = first; i < end; i++) {
      const wide = shape(pictures[i]) * height;
      cells.push({ x, y: top, width: wide, height });
      x += wide + GAP;
    }
    rows.push({ top, height, first, end });
    top += height + GAP;
    [first, shapes] = [end, 0];
  };
  const heightOf = (count) => (width - GAP * (count - 1)) / shapes;
  for (let i = 0; i < pictures.length; i++) {
    const own = shape(pictures[i]);
    const without = i > first ? heightOf(i - first) : Infinity;
    shapes += own;
    const height = heightOf(i - first + 1);
    if (height > wanted) continue;
    // The row is full with this picture, or was nearer to the height without it.
    const isNearer = without - wanted < wanted - height && without <= wanted * TALLEST;
    if (!isNearer) {
      close(i + 1, height);
      continue;
    }
    close(i, without);
    shapes = own;
    if (heightOf(1) <= wanted) close(i + 1, heightOf(1));
  }
  if (first < pictures.length) {
    const full = heightOf(pictures.length - first);
    close(pictures.length, full <= wanted * 1.15 ? full : wanted);
  }
  return { cells, rows, height: Math.max(0, top - GAP) };
}

/** The height of rows that suits a width: three or so pictures beside each other on a phone. */
export const rowHeight = (width) =>
  width < 600 ? Math.max(96, width / 3.2) : width < 1200 ? 190 : width < 2000 ? 230 : 280;

/** The first row that ends below `y`. */
export function rowAt(rows, y) {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].top + rows[middle].height < y) low = middle + 1;
    else high = middle;
  }
  return low;
}
