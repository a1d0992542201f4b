// @ts-check
/** Dress the API page in the colours that the reader's system asks for, and fit it to the screen. */
(() => {
  const page = /** @type {HTMLElement} */ (document.querySelector("rapi-doc"));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const COLOURS = {
    light: { theme: "light", "bg-color": "#ffffff", "nav-bg-color": "#faf8f4", "text-color": "#1d1b18", "nav-text-color": "#4d4840", "nav-hover-bg-color": "#f1ece3", "nav-accent-color": "#b4451f", "primary-color": "#b4451f" },
    dark: { theme: "dark", "bg-color": "#161412", "nav-bg-color": "#12110f", "text-color": "#ece7de", "nav-text-color": "#b8afa3", "nav-hover-bg-color": "#211e1a", "nav-accent-color": "#ee8d63", "primary-color": "#ee8d63" },
  };
  const dress = () => {
    for (const [name, value] of Object.entries(COLOURS[dark.matches ? "dark" : "light"])) page.setAttribute(name, value);
  };
  // A narrow screen shows no navigation: there everything stands below each other.
  const narrow = matchMedia("(max-width: 767px)");
  const fit = () => page.setAttribute("render-style", narrow.matches ? "read" : "focused");
  narrow.addEventListener("change", fit);
  fit();
  dark.addEventListener("change", dress);
  dress();
})();
