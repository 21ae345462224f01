// SPDX-License-Identifier: MIT
// Computes things whose result does not depend on how they are run; scripts/endurance compares the
// interpreter, the compiler and the eager compiler of the same engine.
'use strict';

function lcg(seed) {
    let s = seed >>> 0;
    return () => (s = (Math.imul(s, 1664525) + 1013904223) >>> 0);
}

function sieve(n) {
    const composite = new Uint8Array(n + 1);
    let count = 0;
    for (let i = 2; i <= n; i++) {
        if (composite[i])
            continue;
        count++;
        for (let j = i * 2; j <= n; j += i)
            composite[j] = 1;
    }
    return count;
}

function matrix(n) {
    const a = new Float64Array(n * n).map((_, i) => Math.sin(i));
    const c = new Float64Array(n * n);
    for (let i = 0; i < n; i++)
        for (let j = 0; j < n; j++) {
            let sum = 0;
            for (let k = 0; k < n; k++)
                sum += a[i * n + k] * a[k * n + j];
            c[i * n + j] = sum;
        }
    return c.reduce((x, y) => x + y, 0).toString();
}

class Shape { area() { return 0; } }
class Square extends Shape { constructor(x) { super(); this.x = x; } area() { return this.x * this.x; } }
class Rect extends Shape { constructor(x, y) { super(); this.x = x; this.y = y; } area() { return this.x * this.y; } }

function shapes(n) {
    const next = lcg(7);
    let sum = 0;
    for (let i = 0; i < n; i++) {
        const s = next() & 1 ? new Square(next() % 100) : new Rect(next() % 100, next() % 50);
        sum += s.area();
    }
    return sum;
}

function generated(n) {
    let sum = 0;
    for (let i = 0; i < n; i++)
        sum += new Function('x', `return x * ${i} + ${i % 7};`)(i);
    return sum;
}

function strings(n) {
    const next = lcg(3), words = [];
    for (let i = 0; i < n; i++)
        words.push((next() % 100000).toString(36));
    const text = words.sort().join(' ');
    return [text.length, text.replace(/[a-f]+(\d)/g, '<$1>').length, (text.match(/\b\w*z\w*\b/g) || []).length].join();
}

function big(n) {
    let x = 1n;
    for (let i = 1n; i <= BigInt(n); i++)
        x = x * i + 1n;
    return (x % 1000000007n).toString();
}

const crypto = require('crypto');
for (let round = 0; round < 3; round++) {
    console.log(sieve(300000), matrix(90), shapes(200000), generated(400), strings(20000), big(400));
    const map = new Map(), next = lcg(round);
    for (let i = 0; i < 50000; i++)
        map.set(next() % 5000, i);
    console.log(JSON.stringify([...map].sort((a, b) => a[0] - b[0]).slice(0, 20)));
    console.log(crypto.createHash('sha256').update(JSON.stringify([...map])).digest('hex'));
}
