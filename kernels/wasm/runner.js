// Runs WebAssembly programs for kernels.wasm.v8: one request a line on stdin, one answer a line on stdout, both JSON.
// Memories go through files. Time is measured here, around the exported loop.
"use strict";
const fs = require("fs");
const readline = require("readline");

const programs = new Map();

const requests = {
  load({ id, module, image }) {
    const instance = new WebAssembly.Instance(new WebAssembly.Module(fs.readFileSync(module)));
    new Uint8Array(instance.exports.memory.buffer).set(fs.readFileSync(image));
    programs.set(id, instance.exports);
    return {};
  },
  run({ id, repeats }) {
    const { repeat } = programs.get(id);
    const begin = cpu();
    repeat(repeats);
    return { seconds: cpu() - begin };
  },
  read({ id, address, bytes, file }) {
    fs.writeFileSync(file, new Uint8Array(programs.get(id).memory.buffer, address, bytes));
    return {};
  },
  drop({ id }) {
    programs.delete(id);
    return {};
  },
};

// Seconds of CPU time: of this thread, or of the whole process in a Node that cannot tell (nothing else runs in it).
// Linux brings the account up to date when a thread waits; without that it is a clock tick late.
const cell = new Int32Array(new SharedArrayBuffer(4));
function cpu() {
  Atomics.wait(cell, 0, 0, 0.05);
  const { user, system } = process.threadCpuUsage ? process.threadCpuUsage() : process.cpuUsage();
  return (user + system) / 1e6;
}

function say(answer) {
  fs.writeSync(1, JSON.stringify(answer) + "\n");
}

// Does this engine know f32x4.relaxed_madd? A function of three vectors that returns it.
const relaxed = WebAssembly.validate(
  new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0, 10, 13, 1, 11, 0, 32, 0, 32, 1, 32,
    2, 253, 133, 2, 11,
  ]),
);
say({ node: process.version, v8: process.versions.v8, relaxed });
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  try {
    const request = JSON.parse(line);
    say(requests[request.do](request));
  } catch (error) {
    say({ error: String(error) });
  }
});
