// The load test: key lives through both doors, and viewers of keys that stay, at rates that do not
// wait for the answers (an open model). `python -m tests.load.run` says where and how much.

import exec from "k6/execution";
import { SharedArray } from "k6/data";
import { Cloudflare, Livepeer, verify } from "./doors.js";
import { cloudflareSigner, livepeerSigner } from "./tokens.js";
import { scenarios, thresholds } from "./plan.js";
import { summary } from "./summary.js";

const accounts = new SharedArray("accounts", () => JSON.parse(open(__ENV.KEYFERRY_LOAD_ACCOUNTS)));

export const options = {
  scenarios,
  thresholds,
  summaryTrendStats: ["count", "med", "p(95)", "p(99)", "max"],
  setupTimeout: "120s",
  noCookiesReset: true,
  discardResponseBodies: false,
};

// A key through each door in every account, for the viewers.
export function setup() {
  return accounts.map((account) => ({
    cloudflare: new Cloudflare(account).create(),
    livepeer: new Livepeer(account).create("load"),
  }));
}

export function teardown(kept) {
  kept.forEach((keys, index) => {
    if (keys.cloudflare) new Cloudflare(accounts[index]).remove(keys.cloudflare.id);
    if (keys.livepeer) new Livepeer(accounts[index]).remove(keys.livepeer.id);
  });
}

export async function cloudflareLife() {
  const account = any();
  const door = new Cloudflare(account);
  const key = door.create();
  if (!key) return;
  door.list(key.id);
  const token = await (await cloudflareSigner(key))("film");
  verify("verify first", account.account, "film", token, 200);
  verify("verify again", account.account, "film", token, 200);
  door.remove(key.id);
  verify("verify revoked", account.account, "film", token, 403);
}

export async function livepeerLife() {
  const account = any();
  const door = new Livepeer(account);
  const name = `load ${exec.scenario.iterationInTest}`;
  const key = door.create(name);
  if (!key) return;
  door.list(key.id);
  door.get(key.id, name);
  door.rename(key.id, `${name} again`);
  const token = await (await livepeerSigner(key))("film");
  verify("verify first", account.account, "film", token, 200);
  door.gate(key.publicKey, 200);
  door.disable(key.id);
  verify("verify revoked", account.account, "film", token, 403);
  door.gate(key.publicKey, 403);
  door.remove(key.id);
}

// Somebody presses play: a new token, and the segments that follow with the same one.
export async function viewer(kept) {
  const index = exec.scenario.iterationInTest % accounts.length;
  const { account } = accounts[index];
  const sign = await signer(kept, index);
  if (!sign) return;
  const token = await sign("film");
  verify("verify first", account, "film", token, 200);
  for (let segment = 0; segment < 3; segment++) {
    verify("verify again", account, "film", token, 200);
  }
}

// A dashboard, or a client that looks after its keys.
export function reader(kept) {
  const index = exec.scenario.iterationInTest % accounts.length;
  const { cloudflare, livepeer } = kept[index];
  if (cloudflare) new Cloudflare(accounts[index]).list(cloudflare.id);
  if (livepeer) new Livepeer(accounts[index]).get(livepeer.id, "load");
}

export function handleSummary(data) {
  return summary(data, __ENV.KEYFERRY_LOAD_JSON);
}

const signers = {};

async function signer(kept, index) {
  const even = exec.scenario.iterationInTest % 2 === 0;
  const name = `${index} ${even}`;
  if (!(name in signers)) {
    const { cloudflare, livepeer } = kept[index];
    if (!cloudflare || !livepeer) return null;
    signers[name] = even ? await cloudflareSigner(cloudflare) : await livepeerSigner(livepeer);
  }
  return signers[name];
}

function any() {
  return accounts[exec.scenario.iterationInTest % accounts.length];
}
