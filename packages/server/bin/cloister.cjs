#!/usr/bin/env node
// Runs Cloister on a Node that can: this one, or the one packaged with the repository. Written in the
// JavaScript of old Nodes, since it is the part that has to explain itself on them.
'use strict';
var childProcess = require('child_process');
var fs = require('fs');
var path = require('path');

function fail(line) {
  console.error('cloister: ' + line);
  process.exit(1);
}

var bundle = path.join(__dirname, '..', 'dist', 'cloister.mjs');
var version = process.versions.node.split('.').map(Number);
if (version[0] > 24 || (version[0] === 24 && version[1] >= 15)) {
  if (!fs.existsSync(bundle)) fail('it is not built yet: run `npm run build` in the repository.');
  import(require('url').pathToFileURL(bundle).href).catch(function (error) {
    fail('it cannot be loaded: ' + error.message);
  });
} else {
  var node;
  try {
    node = path.join(path.dirname(require.resolve('node/package.json')), 'bin', 'node');
  } catch {
    node = undefined;
  }
  if (node === undefined || !fs.existsSync(node)) fail('it needs Node 24.15 or newer, and this is ' + process.version + '.');
  ['SIGINT', 'SIGTERM', 'SIGHUP'].forEach(function (signal) {
    process.on(signal, function () {
      // Ctrl-C on a terminal reaches the child by itself.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  });
  var child = childProcess.spawn(node, [__filename].concat(process.argv.slice(2)), { stdio: 'inherit' });
  child.on('exit', function (code, signal) {
    process.exit(code === null ? 128 + (require('os').constants.signals[signal] || 0) : code);
  });
}
