// Playback tokens signed as clients sign them: by WebCrypto, with the key as it was handed out.

import encoding from "k6/encoding";

const RSA = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };

// Returns the signing function of a key that Cloudflare's door handed out.
export async function cloudflareSigner(key) {
  const jwk = JSON.parse(encoding.b64decode(key.jwk, "std", "s"));
  const secret = await crypto.subtle.importKey("jwk", jwk, RSA, false, ["sign"]);
  const header = { alg: "RS256", kid: key.id };
  return (video) => sign(header, { sub: video, kid: key.id, exp: now() + 3600 }, secret);
}

// Returns the signing function of a key that Livepeer's door handed out.
export async function livepeerSigner(key) {
  const pem = encoding.b64decode(key.privateKey, "std", "s");
  const der = encoding.b64decode(pem.replace(/-----[^-]+-----|\s/g, ""));
  const secret = await crypto.subtle.importKey("pkcs8", der, RSA, false, ["sign"]);
  const header = { alg: "RS256", typ: "JWT" };
  const fixed = { action: "pull", iss: "load", pub: key.publicKey, video: "none" };
  return (video) =>
    sign(header, { ...fixed, sub: video, iat: now(), exp: now() + 3600 }, secret);
}

async function sign(header, claims, secret) {
  const parts = [header, { ...claims, jti: unique() }];
  const text = parts.map((part) => encoding.b64encode(JSON.stringify(part), "rawurl")).join(".");
  const signature = await crypto.subtle.sign(RSA.name, secret, bytes(text));
  return `${text}.${encoding.b64encode(signature, "rawurl")}`;
}

function bytes(ascii) {
  const array = new Uint8Array(ascii.length);
  for (let index = 0; index < ascii.length; index++) array[index] = ascii.charCodeAt(index);
  return array.buffer;
}

function now() {
  return Math.floor(Date.now() / 1000);
}

let made = 0;

// A token like no other, so that it is verified by arithmetic and not from memory.
function unique() {
  made += 1;
  return `${__VU}-${made}`;
}
