/**
 * Search of the most probable strings in the columns of a sequence model: `search`, `spans`, `emptyProbability`. It is
 * a CTC prefix beam search without constraints. runtime/reader/search.py gives the reasons for the method.
 *
 * @typedef {{values: Float32Array, count: number, classes: number}} Columns (T, K + 1), the blank last
 * @typedef {{text: string, confidence: number}} Hypothesis
 * @typedef {{peak: number, confidence: number}} Span the column with the highest probability of a character, and that
 * @typedef {{label: number, parent: Prefix | null, children: Map<number, Prefix>}} Prefix
 * @typedef {Map<Prefix, [blank: number, label: number]>} Scores probabilities of the alignments of each prefix that end
 *   with a blank, and with its last class
 */

import {
  SEARCH_BLANK_ABOVE,
  SEARCH_CLASSES,
  SEARCH_MIN_PROBABILITY,
  SEARCH_MIN_SHARE,
  SEARCH_WIDTH,
} from "./constants.js";

const TINY = 1e-12;

/**
 * Find the most probable strings.
 *
 * @param {Columns} columns
 * @param {string[]} labels
 * @returns {Hypothesis[]} the most probable first
 */
export function search(columns, labels) {
  /** @type {Scores} */
  let scores = new Map([[{ label: -1, parent: null, children: new Map() }, [1, 0]]]);
  let logScale = 0;
  for (let column = 0; column < columns.count; column += 1) {
    const row = rowOf(columns, column);
    const blank = row[labels.length];
    if (blank > SEARCH_BLANK_ABOVE) {
      logScale += Math.log(blank);
      for (const score of scores.values()) [score[0], score[1]] = [score[0] + score[1], 0];
      continue;
    }
    scores = pruned(extended(scores, blank, considered(row)));
    const best = Math.max(...[...scores.values()].map(([one, other]) => one + other));
    logScale += Math.log(best);
    for (const score of scores.values()) [score[0], score[1]] = [score[0] / best, score[1] / best];
  }
  const scale = Math.exp(logScale);
  return [...scores]
    .map(([prefix, [one, other]]) => ({
      text: textOf(prefix, labels),
      confidence: Math.min(1, (one + other) * scale),
    }))
    .sort((one, other) => other.confidence - one.confidence);
}

/** @param {Columns} columns @returns {number} the probability that there is no character */
export function emptyProbability({ values, count, classes }) {
  let product = 1;
  for (let column = 1; column <= count; column += 1) product *= values[column * classes - 1];
  return product;
}

/**
 * Align a string with the columns by the most probable alignment (Viterbi).
 *
 * @param {Columns} columns
 * @param {string[]} labels
 * @param {string} text
 * @returns {Span[]} empty if the string does not fit
 */
export function spans(columns, labels, text) {
  if (!text) return [];
  const classes = [labels.length, ...[...text].flatMap((character) => [labels.indexOf(character), labels.length])];
  const path = bestPath(columns, classes);
  if (path === null) return [];
  return [...text].map((_, number) => {
    const state = 2 * number + 1;
    let [peak, confidence] = [-1, -1];
    for (let column = 0; column < columns.count; column += 1) {
      const probability = columns.values[column * columns.classes + classes[state]];
      if (path[column] === state && probability > confidence) [peak, confidence] = [column, probability];
    }
    return { peak, confidence };
  });
}

/** @param {Columns} columns @param {number} column @returns {Float32Array} */
function rowOf({ values, classes }, column) {
  return values.subarray(column * classes, (column + 1) * classes);
}

/**
 * @param {Float32Array} row
 * @returns {[label: number, probability: number][]} the most probable classes, in falling order
 */
function considered(row) {
  return [...row.subarray(0, row.length - 1).entries()]
    .sort((one, other) => other[1] - one[1])
    .slice(0, SEARCH_CLASSES)
    .filter(([, probability]) => probability >= SEARCH_MIN_PROBABILITY);
}

/**
 * The prefixes after one more column.
 *
 * @param {Scores} scores
 * @param {number} blank
 * @param {[label: number, probability: number][]} classes
 * @returns {Scores}
 */
function extended(scores, blank, classes) {
  /** @type {Scores} */
  const after = new Map();
  const scoreOf = (/** @type {Prefix} */ prefix) => {
    const score = after.get(prefix) ?? /** @type {[number, number]} */ ([0, 0]);
    after.set(prefix, score);
    return score;
  };
  const least = SEARCH_MIN_SHARE * Math.max(blank, classes.length ? classes[0][1] : 0);
  for (const [prefix, [endsBlank, endsLabel]] of scores) {
    const total = endsBlank + endsLabel;
    const own = scoreOf(prefix);
    own[0] += total * blank;
    for (const [label, probability] of classes) {
      if (total * probability < least) break;
      const isSame = label === prefix.label;
      if (isSame) own[1] += endsLabel * probability;
      const before = isSame ? endsBlank : total;
      if (before) scoreOf(childOf(prefix, label))[1] += before * probability;
    }
  }
  return after;
}

/** @param {Prefix} prefix @param {number} label @returns {Prefix} */
function childOf(prefix, label) {
  const child = prefix.children.get(label) ?? { label, parent: prefix, children: new Map() };
  prefix.children.set(label, child);
  return child;
}

/** @param {Scores} scores @returns {Scores} the most probable prefixes */
function pruned(scores) {
  const ranked = [...scores].sort((one, other) => other[1][0] + other[1][1] - one[1][0] - one[1][1]);
  const least = SEARCH_MIN_SHARE * (ranked[0][1][0] + ranked[0][1][1]);
  return new Map(ranked.slice(0, SEARCH_WIDTH).filter(([, [one, other]]) => one + other >= least));
}

/** @param {Prefix | null} prefix @param {string[]} labels */
function textOf(prefix, labels) {
  let text = "";
  for (; prefix?.parent; prefix = prefix.parent) text = labels[prefix.label] + text;
  return text;
}

/**
 * The state of each column in the best alignment; null if there is none.
 *
 * @param {Columns} columns
 * @param {number[]} classes of the states: blank, character, blank, …, blank
 * @returns {Int32Array | null}
 */
function bestPath(columns, classes) {
  const logOf = (/** @type {number} */ column, /** @type {number} */ state) =>
    Math.log(Math.max(columns.values[column * columns.classes + classes[state]], TINY));
  const states = classes.length;
  let best = new Float64Array(states).fill(-Infinity);
  best[0] = logOf(0, 0);
  best[1] = logOf(0, 1);
  const cameFrom = new Int8Array(columns.count * states);
  for (let column = 1; column < columns.count; column += 1) {
    const after = new Float64Array(states);
    for (let state = 0; state < states; state += 1) {
      const maySkip = state % 2 === 1 && state > 1 && classes[state] !== classes[state - 2];
      let [most, step] = [best[state], 0];
      if (state > 0 && best[state - 1] > most) [most, step] = [best[state - 1], 1];
      if (maySkip && best[state - 2] > most) [most, step] = [best[state - 2], 2];
      after[state] = most + logOf(column, state);
      cameFrom[column * states + state] = step;
    }
    best = after;
  }
  let state = best[states - 1] >= best[states - 2] ? states - 1 : states - 2;
  if (best[state] === -Infinity) return null;
  const path = new Int32Array(columns.count);
  for (let column = columns.count - 1; column >= 0; column -= 1) {
    path[column] = state;
    state -= cameFrom[column * states + state];
  }
  return path;
}
