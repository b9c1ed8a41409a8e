// What clients ask of each door. Every function is one request.

import { ask, say } from "./http.js";

export class Cloudflare {
  constructor({ account, token }) {
    this.token = token;
    this.keys = `/client/v4/accounts/${account}/stream/keys`;
  }

  create() {
    const made = ask("cloudflare create", "POST", this.keys, { token: this.token });
    return made.status === 200 ? made.json("result") : null;
  }

  list(expected) {
    const listed = ask("cloudflare list", "GET", this.keys, { token: this.token });
    contains("cloudflare list", listed, "result", expected);
  }

  remove(id) {
    ask("cloudflare delete", "DELETE", `${this.keys}/${id}`, { token: this.token });
  }
}

export class Livepeer {
  constructor({ account, token }) {
    this.token = token;
    this.account = account;
    this.keys = "/api/access-control/signing-key";
  }

  create(name) {
    const body = { name };
    const made = ask("livepeer create", "POST", this.keys, { token: this.token, body });
    return made.status === 200 ? made.json() : null;
  }

  list(expected) {
    const listed = ask("livepeer list", "GET", this.keys, { token: this.token });
    contains("livepeer list", listed, "@this", expected);
  }

  get(id, name) {
    const got = ask("livepeer get", "GET", `${this.keys}/${id}`, { token: this.token });
    say("livepeer get shows the name", got.status === 200 && got.json("name") === name);
  }

  rename(id, name) {
    this.change("livepeer rename", id, { name });
  }

  disable(id) {
    this.change("livepeer disable", id, { disabled: true });
  }

  remove(id) {
    const one = `${this.keys}/${id}`;
    ask("livepeer delete", "DELETE", one, { token: this.token, expect: 204 });
  }

  gate(pub, expect) {
    const path = `/api/access-control/gate?account=${this.account}`;
    ask("livepeer gate", "POST", path, { body: { type: "jwt", pub, stream: "load" }, expect });
  }

  change(name, id, body) {
    ask(name, "PATCH", `${this.keys}/${id}`, { token: this.token, body, expect: 204 });
  }
}

// Asks as an edge does before it plays a segment of `video`.
export function verify(name, account, video, token, expect) {
  const uri = { "X-Original-URI": `/${video}/seg-1.m4s?token=${token}` };
  return ask(name, "GET", `/accounts/${account}/verify`, { headers: uri, expect });
}

function contains(name, listed, path, expected) {
  const found = listed.status === 200 && listed.json(path).some((key) => key.id === expected);
  say(`${name} shows the key`, found);
}
