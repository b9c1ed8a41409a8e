// Signs playback tokens with a key as Livepeer's door hands it out: with Livepeer's own signer,
// which takes P-256 keys only, and with jsonwebtoken, as its documentation shows for servers.
// Reads the key, the playback id and what to use from standard input as JSON.
import { readFileSync } from "node:fs";
import { signAccessJwt } from "@livepeer/core/crypto";
import jsonwebtoken from "jsonwebtoken";

const { key, playbackId, algorithm } = JSON.parse(readFileSync(0, "utf8"));
const { privateKey, publicKey } = key;
const issuer = "https://example.com";

const claims = { action: "pull", iss: issuer, pub: publicKey, sub: playbackId, video: "none" };
const pem = Buffer.from(privateKey, "base64");
const tokens = {
  jsonwebtoken: jsonwebtoken.sign(claims, pem, { algorithm, expiresIn: "1h" }),
};
if (algorithm === "ES256") {
  const options = { privateKey, publicKey, issuer, playbackId };
  tokens.signAccessJwt = await signAccessJwt(options);
  tokens["signAccessJwt, an hour"] = await signAccessJwt({ ...options, expiration: 3600 });
  const custom = { userId: "user:1", roles: ["viewer"] };
  tokens["signAccessJwt, custom"] = await signAccessJwt({ ...options, custom });
}
console.log(JSON.stringify(tokens));
