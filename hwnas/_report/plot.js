/* What a plot needs: elements, scales and their ticks. Nothing here knows what is drawn. */
const plot = (() => {
  "use strict";
  const LEFT = 58, RIGHT = 16, TOP = 34, BOTTOM = 46; /* margins in pixels */

  function svgElement(space, name, attributes, parent, text) {
    const element = document.createElementNS(space, name);
    for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  }

  function htmlElement(name, attributes, parent, text) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  }

  /* The range of values with some room; logarithmic where that is asked for and possible. */
  function roomy(values, wantsLog) {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    if (wantsLog && low > 0) {
      const room = Math.max(Math.log(high / low) * 0.06, 0.03);
      return { low: low * Math.exp(-room), high: high * Math.exp(room), log: true };
    }
    const room = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
    return { low: low >= 0 ? Math.max(0, low - room) : low - room, high: high + room, log: false };
  }

  /* Pixels of values from `from` to `to`, and back. */
  function scale({ low, high, log }, from, to) {
    const place = (value) => (log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
    return {
      low,
      high,
      log,
      of: (value) => from + place(value) * (to - from),
      at: (pixel) => {
        const share = Math.min(1, Math.max(0, (pixel - from) / (to - from)));
        const value = log ? low * (high / low) ** share : low + share * (high - low);
        if (log || high <= low) return Math.min(high, Math.max(low, Number(value.toPrecision(4))));
        const step = 10 ** Math.floor(Math.log10((high - low) / 1000)); // four digits of the range, not of the value
        return Number((Math.round(value / step) * step).toPrecision(12));
      },
    };
  }

  function roundTicks(low, high, most) {
    const raw = (high - low) / most;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw);
    const ticks = [];
    for (let i = Math.ceil(low / step); i * step <= high; i += 1) ticks.push(Number((i * step).toPrecision(12)));
    return ticks;
  }

  function logTicks(low, high, most) {
    for (const steps of [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]]) {
      const ticks = [];
      for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p += 1) {
        for (const step of steps) ticks.push(Number((step * 10 ** p).toPrecision(6)));
      }
      const shown = ticks.filter((tick) => tick >= low && tick <= high);
      if (shown.length <= most) return shown.length >= 2 ? shown : roundTicks(low, high, most);
    }
    return roundTicks(low, high, most);
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const field = htmlElement("textarea", { readonly: "" }, document.body);
      field.value = text;
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      return done;
    }
  }

  return { LEFT, RIGHT, TOP, BOTTOM, svgElement, htmlElement, roomy, scale, roundTicks, logTicks, copy };
})();
