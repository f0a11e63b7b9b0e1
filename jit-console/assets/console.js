// Keeps a page true while it stands: htmx shows its parts anew when the server says that they have changed, and what time does to them is
// said here, by the server's clock. Without scripts the page looks again as a whole.
"use strict";
(() => {
  const live = () => document.getElementById("live");

  // As `far` in `src/web/pages/words.rs`.
  const far = (seconds) => {
    const shown = seconds < 120 ? seconds : seconds - (seconds % 60);
    const parts = [
      [Math.floor(shown / 86400), "d"],
      [Math.floor(shown / 3600) % 24, "h"],
      [Math.floor(shown / 60) % 60, "min"],
      [shown % 60, "s"],
    ];
    const first = parts.findIndex(([count]) => count > 0);
    return parts.slice(first, first + 2).filter(([count]) => count > 0).map((part) => part.join(" ")).join(" ");
  };
  const words = {
    left: (left) => `${far(left)} left`,
    in: (left) => `in ${far(left)}`,
    ago: (left) => (left > -60 ? "just now" : `${far(Math.floor(-left / 60) * 60)} ago`),
  };

  // How far the server's clock was ahead of this one when it told a moment.
  const ahead = new WeakMap();
  const running = new WeakSet();
  const tick = () => {
    let due = false;
    for (const time of document.querySelectorAll("time[data-says]")) {
      if (!ahead.has(time)) ahead.set(time, Date.parse(time.dataset.now) - Date.now());
      const left = Math.ceil((Date.parse(time.dateTime) - Date.now() - ahead.get(time)) / 1000);
      const counts = time.dataset.says !== "ago";
      if (counts && left > 0) running.add(time);
      // Once: what comes then is the server's to say.
      if (counts && left <= 0) due = running.delete(time) || due;
      const text = counts && left <= 0 ? "now" : words[time.dataset.says](left);
      if (time.textContent !== text) time.textContent = text;
    }
    if (due && live()) htmx.trigger(live(), "due");
  };
  tick();
  setInterval(tick, 1000);

  // Where the page is: what comes anew above that does not move it. At its top, what is new is seen.
  let held = null;
  const hold = () => {
    const shown = (one) => {
      const { top, height } = one.getBoundingClientRect();
      return top >= 0 && top < innerHeight && height > 0;
    };
    const all = [document.activeElement, ...document.querySelectorAll("main [id]")];
    const one = scrollY > 0 && all.find((each) => each.id && shown(each));
    held = one && { id: one.id, top: one.getBoundingClientRect().top };
  };
  document.addEventListener("htmx:afterSwap", () => {
    const one = held && document.getElementById(held.id);
    if (one) scrollBy(0, one.getBoundingClientRect().top - held.top);
  });

  const typed = () =>
    [...document.querySelectorAll("main input:not([type=hidden]), main textarea, main select")].some((field) =>
      field.options
        ? [...field.options].some((option) => option.selected !== option.defaultSelected)
        : field.value !== field.defaultValue);

  document.addEventListener("htmx:afterSettle", tick);
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, elt } = event.detail;
    const page = new URL(elt.getAttribute("hx-get"), location.href);
    if (xhr.status === 200 && new URL(xhr.responseURL).pathname === page.pathname) {
      hold();
      return;
    }
    event.detail.shouldSwap = false;
    // The stream comes again, and asks again.
    if (xhr.status === 429 || xhr.status >= 500) return;
    // Signed out, or no longer for these eyes: the page itself says which, unless that would lose what was typed.
    if (typed()) document.getElementById("lost").hidden = false;
    else location.assign(page);
  });
})();
