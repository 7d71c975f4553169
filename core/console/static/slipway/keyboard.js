// The theme has things that only a mouse can press (a span or an anchor without an address that carries a click
// handler). Each becomes a button for keyboards and screen readers too.
const NAMES = { dock_to_right: "Show or hide the menu", close: "Close the menu" };

function press(event) {
  if (event.target === event.currentTarget && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    event.currentTarget.click();
  }
}

function reach() {
  const pressable = "div[x-on\\:click], span[x-on\\:click], a[x-on\\:click]:not([href])";
  for (const each of document.querySelectorAll(pressable)) {
    if (each.id === "changelist-filter-close" || each.hasAttribute("role")) continue;
    each.tabIndex = 0;
    each.setAttribute("role", "button");
    const name = NAMES[each.textContent.trim()];
    if (name) each.setAttribute("aria-label", name);
    each.addEventListener("keydown", press);
  }
  document.querySelector("#content")?.setAttribute("role", "main");
  document.querySelector("a[href='/admin/'] > .material-symbols-outlined")?.parentElement.setAttribute("aria-label", "Home");
}

document.addEventListener("DOMContentLoaded", () => {
  reach();
  new MutationObserver(reach).observe(document.body, { childList: true, subtree: true });
});
