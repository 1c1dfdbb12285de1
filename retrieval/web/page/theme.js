// Not a module: the theme is set before anything is drawn. "" follows the system.
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "";
