"use strict";
// Draws the charts of a page. Their specifications stand beside them as JSON; until one is drawn, its picture is shown.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const views = [];

  function theme() {
    const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
    const line = getComputedStyle(document.documentElement).getPropertyValue("--line").trim();
    const axis = { labelColor: ink, titleColor: ink, domainColor: line, tickColor: line, gridColor: line };
    return {
      background: null,
      font: "system-ui, sans-serif",
      view: { stroke: null },
      axis: { ...axis, titleFontWeight: "normal", labelFontSize: 12, titleFontSize: 12 },
      legend: { labelColor: ink, titleColor: ink, titleFontWeight: "normal", labelFontSize: 12, titleFontSize: 12 },
      text: { color: ink },
      rule: { color: ink },
      aria: false, // the chart has a description; its marks would be hundreds of labels
    };
  }

  async function drawOne(holder) {
    const place = holder.querySelector(".live");
    try {
      const spec = JSON.parse(document.getElementById(holder.dataset.chart).textContent);
      const options = { mode: "vega-lite", ast: true, actions: false, renderer: "svg", defaultStyle: false };
      options.config = theme();
      options.tooltip = { theme: dark.matches ? "dark" : "light" };
      views.push(await vegaEmbed(place, spec, options));
      place.querySelector("svg").setAttribute("aria-hidden", "true");
      place.setAttribute("role", "img");
      place.setAttribute("aria-label", holder.querySelector(".still img").alt);
      holder.classList.add("drawn");
    } catch (error) {
      // The picture stays, and the other charts are drawn.
      holder.classList.remove("drawn");
      place.removeAttribute("role");
      place.removeAttribute("aria-label");
      place.replaceChildren();
      console.error(error);
    }
  }

  async function draw() {
    for (const view of views.splice(0)) view.finalize();
    for (const holder of document.querySelectorAll("[data-chart]")) await drawOne(holder);
  }

  let drawn = draw();
  // One drawing after the other: two at once would share the places of the charts.
  dark.addEventListener("change", () => (drawn = drawn.then(draw)));
})();
