// Some elements of the theme react only to a mouse: a div, a span or an anchor without an address that has a click
// handler. Each becomes a button for keyboards and screen readers too.
const NAMES = { dock_to_right: "Show or hide the menu", close: "Close the menu" };

function press(event) {
  if (event.target === event.currentTarget && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    event.currentTarget.click();
  }
}

function makePressable() {
  const pressable = "div[x-on\\:click], span[x-on\\:click], a[x-on\\:click]:not([href])";
  for (const element of document.querySelectorAll(pressable)) {
    if (element.id === "changelist-filter-close" || element.hasAttribute("role")) continue;
    element.tabIndex = 0;
    element.setAttribute("role", "button");
    const name = NAMES[element.textContent.trim()];
    if (name) element.setAttribute("aria-label", name);
    element.addEventListener("keydown", press);
  }
  document.querySelector("#content")?.setAttribute("role", "main");
  document.querySelector("a[href='/admin/'] > .material-symbols-outlined")?.parentElement.setAttribute("aria-label", "Home");
}

document.addEventListener("DOMContentLoaded", () => {
  makePressable();
  new MutationObserver(makePressable).observe(document.body, { childList: true, subtree: true });
});
