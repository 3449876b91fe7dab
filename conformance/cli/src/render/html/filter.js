"use strict";
(() => {
  const form = document.getElementById("filter");
  const nothing = document.getElementById("nothing");
  const show = () => {
    const wanted = new Set([...form.querySelectorAll("input[name=outcome]:checked")].map((box) => box.value));
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let any = false;
    for (const family of document.querySelectorAll("section.family")) {
      let inFamily = false;
      for (const rule of family.querySelectorAll("tbody")) {
        const head = rule.querySelector("tr.rule").textContent.toLowerCase();
        let inRule = false;
        for (const row of rule.querySelectorAll("tr.case")) {
          const text = head + " " + row.textContent.toLowerCase();
          const isShown = row.dataset.outcomes.split(" ").some((outcome) => wanted.has(outcome))
            && words.every((word) => text.includes(word));
          row.hidden = !isShown;
          inRule ||= isShown;
        }
        rule.hidden = !inRule;
        inFamily ||= inRule;
      }
      family.hidden = !inFamily;
      any ||= inFamily;
    }
    nothing.hidden = any;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  // A browser may remember what was chosen before the page was loaded again.
  show();
})();
