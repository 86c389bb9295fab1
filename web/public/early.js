// Before the first paint: the chosen theme and language, so that nothing flashes.
(function () {
  try {
    var theme = localStorage.getItem('kaiwa.theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
    var lang = localStorage.getItem('kaiwa.lang') || navigator.language || 'en';
    document.documentElement.lang = lang.slice(0, 2) === 'ja' ? 'ja' : 'en';
  } catch (e) {
    // Without storage the defaults apply.
  }
})();
