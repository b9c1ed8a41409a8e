// Prints tokens made by the clients' own code with the test keys, at the vectors' clock:
//   npm install @livepeer/core@3 jsonwebtoken@9 && node record.mjs > recorded.json
// ES256 signatures are random, so a new recording differs from the committed one.
import { createPrivateKey, createPublicKey, webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.cwd()}/`);
const jsonwebtoken = require("jsonwebtoken");
const { signAccessJwt } = require("@livepeer/core/crypto");

const { keys } = JSON.parse(readFileSync(new URL("test_only_keys.json", import.meta.url)));
const pemOf = (name) => `${keys[name].private_pem.join("\n")}\n`;
const base64 = (text) => Buffer.from(text).toString("base64");
const video = "5d5bc37ffcf54c9b82e996823bffbb81";
const playbackId = "f5eese9wwl88k4g8";
const clock = 1760000000;
const kid = keys.rsa.id.replaceAll("-", "");
Date.now = () => clock * 1000 + 600; // iat is rounded to the nearest second: into the future

// Cloudflare's documented sample for WebCrypto, from the `jwk` that its API hands out.
async function cloudflareWebCrypto() {
  const numbers = createPrivateKey(pemOf("rsa")).export({ format: "jwk" });
  const handedOut = base64(JSON.stringify({ use: "sig", kid, alg: "RS256", ...numbers }));
  const base64url = (value) =>
    btoa(value).replace(/=/g, "").replace(/\+/g, "-").replace(/\//g, "_");
  const header = { alg: "RS256", kid };
  const payload = {
    sub: video,
    kid,
    exp: Math.floor(Date.now() / 1000) + 3600,
    accessRules: [
      { type: "ip.geoip.country", action: "allow", country: ["GB"] },
      { type: "any", action: "block" },
    ],
  };
  const text = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(payload))}`;
  const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  const jwk = JSON.parse(atob(handedOut));
  const key = await webcrypto.subtle.importKey("jwk", jwk, algorithm, false, ["sign"]);
  const signature = await webcrypto.subtle.sign(algorithm, key, new TextEncoder().encode(text));
  return `${text}.${base64url(String.fromCharCode(...new Uint8Array(signature)))}`;
}

// Cloudflare's documented sample for Node: the kid in the payload only, times as numbers.
const cloudflareNode = () =>
  jsonwebtoken.sign(
    { sub: video, kid, exp: clock + 3600, nbf: clock - 3600 },
    Buffer.from(base64(pemOf("rsa")), "base64"),
    { algorithm: "RS256" },
  );

// Livepeer's documented sample for servers without its SDK.
const livepeerNode = (name, algorithm) => {
  const spki = createPublicKey(pemOf(name)).export({ type: "spki", format: "pem" });
  return jsonwebtoken.sign(
    { sub: playbackId, action: "pull", iss: "Livepeer Studio", pub: base64(spki), exp: clock + 3600 },
    Buffer.from(base64(pemOf(name)), "base64").toString(),
    { algorithm },
  );
};

const livepeerSdk = (custom) =>
  signAccessJwt({
    privateKey: base64(pemOf("ec")),
    publicKey: base64(createPublicKey(pemOf("ec")).export({ type: "spki", format: "pem" })),
    issuer: "https://example.test",
    playbackId,
    custom,
  });

const recorded = {
  "cloudflare WebCrypto sample": await cloudflareWebCrypto(),
  "cloudflare Node sample (jsonwebtoken)": cloudflareNode(),
  "livepeer jsonwebtoken sample, ES256": livepeerNode("ec", "ES256"),
  "livepeer jsonwebtoken sample, RS256": livepeerNode("rsa", "RS256"),
  "livepeer signAccessJwt": await livepeerSdk(undefined),
  "livepeer signAccessJwt with custom": await livepeerSdk({ user: "u:1", nested: { a: [1] } }),
  "livepeer signAccessJwt with a name beyond ASCII": await livepeerSdk({ user: "Zoë" }),
};
console.log(JSON.stringify(recorded, null, 1));
