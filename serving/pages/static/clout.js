// What the pages gain with JavaScript: the reader's time zone and the theme switch. Everything else works without it.
(() => {
  const formats = {
    time: new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" }),
    date: new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" }),
  };

  function showLocalTimes(root) {
    for (const element of root.querySelectorAll("time[data-show]")) {
      element.textContent = formats[element.dataset.show].format(new Date(element.dateTime));
    }
  }

  const themes = ["system", "light", "dark"];
  const themeNames = { system: "as the system", light: "light", dark: "dark" };

  function installThemeSwitch(button) {
    const root = document.documentElement;
    const name = button.querySelector("[data-theme-name]");
    const show = () => {
      name.textContent = themeNames[root.dataset.theme ?? "system"];
      button.title = button.textContent.trim();
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      const next = themes[(themes.indexOf(root.dataset.theme ?? "system") + 1) % themes.length];
      if (next === "system") delete root.dataset.theme;
      else root.dataset.theme = next;
      try {
        localStorage.setItem("theme", next);
      } catch {
        // The choice lasts for this page only.
      }
      show();
    });
    show();
  }

  // A slider shows its value while it moves.
  document.addEventListener("input", ({ target }) => {
    const output = target.type === "range" && target.parentElement.querySelector("output");
    if (output) output.value = target.value;
  });

  showLocalTimes(document);
  document.querySelectorAll("[data-theme-switch]").forEach(installThemeSwitch);
  // A part that was asked for by a link takes the focus of that link, which it replaces.
  document.addEventListener("htmx:afterSettle", ({ detail: { elt, requestConfig } }) => {
    if (requestConfig?.elt.matches("a") && elt.matches("section[id]:not([aria-live])")) {
      elt.tabIndex = -1;
      elt.focus({ preventScroll: true });
    }
  });
  // A part that cannot be loaded: its link leads to the page that says why.
  for (const failure of ["htmx:responseError", "htmx:sendError"]) {
    document.addEventListener(failure, ({ detail: { elt } }) => {
      if (elt.matches("a[href]")) location.assign(elt.href);
    });
  }
  document.addEventListener("htmx:afterSwap", (event) => showLocalTimes(document));
})();
