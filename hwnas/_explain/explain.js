/* Lists of times can be read in the order of execution, as they stand in the page, or with the longest first. */
(() => {
  "use strict";
  for (const list of document.querySelectorAll("ol.times")) {
    const items = [...list.children];
    if (items.length < 3) continue;
    const sorted = [...items].sort((a, b) => Number(b.dataset.ms) - Number(a.dataset.ms));
    const button = document.createElement("button");
    button.className = "order";
    button.type = "button";
    let byTime = false;
    const show = () => {
      list.append(...(byTime ? sorted : items));
      button.textContent = byTime ? "show in the order of execution" : "show the longest first";
      button.setAttribute("aria-pressed", String(byTime));
    };
    button.addEventListener("click", () => {
      byTime = !byTime;
      show();
    });
    list.before(button);
    show();
  }
})();
