// Keeps the whole site, so that it works without a network; DIGEST and FILES are written above when it is exported.

// other sites of this origin have stores, too
const PREFIX = `digits-edge ${self.registration.scope} `;
const STORE = PREFIX + DIGEST;

self.addEventListener("install", (event) => {
  // past the browser's own store, which may still hold files of the site before
  const requests = FILES.map((file) => new Request(file, { cache: "reload" }));
  event.waitUntil(caches.open(STORE).then((store) => store.addAll(requests)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const isOld = (name) => name.startsWith(PREFIX) && name !== STORE;
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter(isOld).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const kept = caches.open(STORE).then((store) => store.match(event.request, { ignoreSearch: true }));
  event.respondWith(kept.then((answer) => answer ?? fetch(event.request)));
});
