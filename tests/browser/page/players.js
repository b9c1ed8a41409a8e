// A page that plays one video at a time, and tells in `play` what became of it.
"use strict";

let play;

// What a player adds to each request when the token is not in the address.
const ADDED = {
  query: (url, token) => [`${url}${url.includes("?") ? "&" : "?"}token=${token}`, {}],
  "Livepeer-Jwt": (url, token) => [url, { "Livepeer-Jwt": token }],
  Authorization: (url, token) => [url, { Authorization: `Bearer ${token}` }],
  nothing: (url) => [url, {}],
};

const PLAYERS = { hls: playHls, dash: playDash, native: playNatively };

// options: player, url, added (a key of ADDED), token, credentials, rate, ahead (seconds to load)
function start(options) {
  play?.stop();
  document.querySelector("video")?.remove();
  const video = document.body.appendChild(document.createElement("video"));
  video.muted = true;
  play = { ended: false, error: null, reason: null, segments: [], addresses: [], stop: () => {} };
  video.addEventListener("ended", () => (play.ended = true));
  PLAYERS[options.player](video, options);
  if (options.rate) {
    go(options.rate);
  }
}

// Wait until a condition holds or the play has failed, and tell what became of it.
async function until(condition) {
  const deadline = Date.now() + 10000;
  while (!play.error && !condition()) {
    if (Date.now() > deadline) {
      play.error = `nothing came of it: at ${document.querySelector("video").currentTime}`;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
    play.ended ||= document.querySelector("video").ended;
  }
  return { ...play, stop: undefined };
}

// Play to the end, or until it fails.
function playAll(options) {
  start({ rate: 8, ...options });
  return until(() => play.ended);
}

// Load the beginning only.
function load(options) {
  start({ ahead: 1, ...options });
  return until(() => play.segments.length > 1);
}

// Play on what `load` has begun, to the end or until nothing is left of what could be loaded.
function playOn() {
  go(8);
  const video = document.querySelector("video");
  const starves = () => play.reason && video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA;
  return until(() => play.ended || starves());
}

// Ask for one file, as a page does by itself.
async function ask(url, headers) {
  const answer = await fetch(url, { headers, credentials: "omit" });
  return { status: answer.status, reason: answer.headers.get("X-Auth-Reason") };
}

function go(rate) {
  const video = document.querySelector("video");
  video.defaultPlaybackRate = video.playbackRate = rate;
  video.play().catch(() => {}); // errors are told by the players
}

function fail(error, reason) {
  play.error ??= error;
  play.reason ??= reason;
}

function playHls(video, { url, added, token, credentials, ahead }) {
  const limits = ahead ? { maxBufferLength: ahead, maxMaxBufferLength: ahead } : {};
  const hls = new Hls({
    ...limits,
    startLevel: 0,
    enableWorker: false,
    xhrSetup: (xhr, address) => {
      const [target, headers] = ADDED[added](address, token);
      xhr.open("GET", target);
      xhr.withCredentials = credentials;
      Object.entries(headers).forEach(([name, value]) => xhr.setRequestHeader(name, value));
    },
  });
  hls.on(Hls.Events.FRAG_BUFFERED, (_, { frag }) => play.segments.push(frag.relurl));
  hls.on(Hls.Events.FRAG_LOADED, (_, { frag }) => {
    play.addresses.push(frag.url);
    hls.nextLoadLevel = frag.sn < 2 ? 0 : 1; // so that both renditions are asked for
  });
  hls.on(Hls.Events.ERROR, (_, { details, fatal, networkDetails }) => {
    play.reason ??= networkDetails?.getResponseHeader("X-Auth-Reason");
    if (fatal) {
      fail(details);
    }
  });
  play.stop = () => hls.destroy();
  hls.loadSource(url);
  hls.attachMedia(video);
}

function playDash(video, { url, added, token }) {
  const dash = dashjs.MediaPlayer().create();
  dash.addRequestInterceptor(async (request) => {
    [request.url, request.headers] = ADDED[added](request.url, token);
    return request;
  });
  dash.on(dashjs.MediaPlayer.events.FRAGMENT_LOADING_COMPLETED, ({ request, response }) => {
    if (response) {
      play.segments.push(request.url.split("/").pop());
    }
  });
  dash.on(dashjs.MediaPlayer.events.ERROR, ({ error }) => {
    const headers = error.data?.response?.headers;
    fail(error.message, headers?.["x-auth-reason"] ?? headers?.get?.("x-auth-reason"));
  });
  play.stop = () => dash.destroy();
  dash.initialize(video, url, false);
}

function playNatively(video, { url, credentials }) {
  if (credentials) {
    video.crossOrigin = "use-credentials";
  }
  video.addEventListener("error", () => fail(video.error.message));
  video.src = url;
}
