// Loads the page again when the server says that something has changed, unless something was typed into it. Without scripts the page looks
// again by the clock.
"use strict";
(() => {
  const source = new EventSource(document.currentScript.dataset.live);
  source.addEventListener("changed", () => {
    source.close();
    const fields = [...document.querySelectorAll("main input:not([type=hidden]), main textarea")];
    if (fields.some((field) => field.value !== field.defaultValue)) {
      document.getElementById("changed").hidden = false;
    } else {
      location.reload();
    }
  });
})();
