// Signs playback tokens with a key as Cloudflare's door hands it out, in the ways that Cloudflare's
// documentation shows. Reads the key, the video and a public JWK from standard input as JSON.
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import jsonwebtoken from "jsonwebtoken";

const { key, video, publicJwk } = JSON.parse(readFileSync(0, "utf8"));
const now = Math.floor(Date.now() / 1000);
const times = { exp: now + 3600, nbf: now - 60 };

// In browsers and workers: the `jwk` and nothing but WebCrypto.
async function withWebCrypto() {
  const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  const jwk = JSON.parse(atob(key.jwk));
  const privateKey = await crypto.subtle.importKey("jwk", jwk, algorithm, false, ["sign"]);
  const encode = (bytes) => Buffer.from(bytes).toString("base64url");
  const header = { alg: "RS256", kid: key.id };
  const payload = { sub: video, kid: key.id, ...times };
  const text = [header, payload].map((part) => encode(JSON.stringify(part))).join(".");
  const signature = await crypto.subtle.sign(algorithm, privateKey, new TextEncoder().encode(text));
  return `${text}.${encode(new Uint8Array(signature))}`;
}

// On servers: the `pem`, the key's id in the payload, or in the header.
const pem = Buffer.from(key.pem, "base64");
const withPayload = { sub: video, kid: key.id, ...times };
const tokens = {
  webCrypto: await withWebCrypto(),
  "jsonwebtoken, kid in payload": jsonwebtoken.sign(withPayload, pem, { algorithm: "RS256" }),
  "jsonwebtoken, kid in header": jsonwebtoken.sign({ sub: video }, pem, {
    algorithm: "RS256",
    keyid: key.id,
    expiresIn: "1h",
  }),
};

// What the JWK Set shows is the other half, for verifiers written for Node.
const publicKey = createPublicKey({ key: publicJwk, format: "jwk" });
for (const token of Object.values(tokens)) {
  jsonwebtoken.verify(token, publicKey, { algorithms: ["RS256"], subject: video });
}
console.log(JSON.stringify(tokens));
