// Real jobs for programs that nobody here wrote: a recording, a chip design from its source to the bitstream, a bundle, a
// document.
import { concat, utf8 } from '../../../core/bytes.ts'
import { fliteModule } from '../cells/support.ts'
import type { Program } from '../wasi/programs.ts'
import { packaged, resources } from './packages.ts'

const TEXT = 'A program that is moved while it runs does not notice, and neither does anyone who listens to it. '

/** Speaks `sentences` sentences into `/out/a.wav`. */
export function flite(sentences: number): Program {
  const files = [{ path: '/in/text.txt', bytes: utf8(TEXT.repeat(sentences)) }]
  return { module: fliteModule(), args: ['flite', '-f', '/in/text.txt', '-o', '/out/a.wav'], files }
}

const VERILOG = `module blinky(input clk, input [3:0] key, output reg [3:0] led);
  reg [11:0] counter = 0;
  reg [15:0] lfsr = 16'hACE1;
  always @(posedge clk) begin
    counter <= counter + key + 1;
    lfsr <= {lfsr[14:0], lfsr[15] ^ lfsr[13] ^ lfsr[12] ^ lfsr[10]};
    led <= counter[11:8] ^ lfsr[3:0] ^ {4{counter == lfsr[11:0]}};
  end
endmodule
`

/** Synthesises a design for an iCE40: `/out/design.json`. C++, with its share files and ABC inside. */
export async function yosys(): Promise<Program> {
  const script = 'read_verilog /in/design.v; synth_ice40 -top blinky -json /out/design.json; stat'
  const share = await resources('@yowasp/yosys/gen/resources-yosys.js', /^\/share\/([^/]+|ice40\/.+)$/)
  return {
    module: packaged('@yowasp/yosys/gen/yosys.core.wasm'),
    args: ['yosys', '-Q', '-T', '-q', '-l', '/out/log.txt', '-p', script],
    files: [{ path: '/in/design.v', bytes: utf8(VERILOG) }, ...share],
  }
}

/** Places and routes what yosys made: `/out/design.asc`. C++, floating point, simulated annealing. */
export async function nextpnr(design: Uint8Array): Promise<Program> {
  const args = ['--lp384', '--package', 'qn32', '--seed', '1', '--quiet', '--json', '/in/design.json']
  const chip = await resources('@yowasp/nextpnr-ice40/gen/resources-nextpnr-ice40.js', /chipdb-384/)
  return {
    module: packaged('@yowasp/nextpnr-ice40/gen/nextpnr-ice40.core.wasm'),
    args: ['nextpnr-ice40', ...args, '--asc', '/out/design.asc'],
    files: [{ path: '/in/design.json', bytes: design }, ...chip],
  }
}

/** Packs what nextpnr made into the bitstream that the chip loads: `/out/design.bin`. */
export function icepack(design: Uint8Array): Program {
  return {
    module: packaged('@yowasp/nextpnr-ice40/gen/icepack.core.wasm'),
    args: ['icepack', '/in/design.asc', '/out/design.bin'],
    files: [{ path: '/in/design.asc', bytes: design }],
  }
}

/** Bundles and minifies `modules` modules of TypeScript into `/out/bundle.js` and its map. Go, with its scheduler and collector. */
export function esbuild(modules: number): Program {
  const source = (i: number): string =>
    `${i + 1 < modules ? `import { f${i + 1} } from './m${i + 1}'\n` : `const f${modules} = <T>(x: T): T => x\n`}
export function f${i}<T extends { a?: number }>(x: T): T {
  const { a = ${i}, ...rest } = x as { a?: number }
  return { ...f${i + 1}(x), ...rest, a: a ?? ${i} ** 2 } as T
}\n`
  const files = Array.from({ length: modules }, (_, i) => ({ path: `/in/m${i}.ts`, bytes: utf8(source(i)) }))
  const main = { path: '/in/main.ts', bytes: utf8("import { f0 } from './m0'\nconsole.log(f0({ a: 1 }))\n") }
  return {
    module: packaged('@esbuild/wasi-preview1/esbuild.wasm'),
    args: [
      ...['esbuild', '/in/main.ts', '--bundle', '--minify', '--sourcemap', '--target=es2017'],
      ...['--log-level=warning', '--outfile=/out/bundle.js'],
    ],
    env: { PWD: '/' },
    files: [main, ...files],
  }
}

const APPENDIX = `
## Programs

| Program  | Language | Size, MB |
|:---------|:--------:|---------:|
| *flite*  |    C     |      4.2 |
| *yosys*  |   C++    |       29 |
| *esbuild*|    Go    |       13 |
| *pandoc* | Haskell  |       58 |

+-------------+---------------------+
| Moved       | Why[^why]           |
+=============+=====================+
| at a poll   | - a peer leaves     |
|             | - another is faster |
+-------------+---------------------+

[^why]: Or by hand; see [the manual](https://pandoc.org/MANUAL.html#tables).

Stop time
:   $t = \\frac{b}{r} + \\sum_{i=1}^{n} c_i$

~~~ {.haskell .numberLines}
hops :: Int -> [Int]
hops n = [ if even k then n \`div\` k else k | k <- [1 .. n] ]
~~~
`

/** Converts `copies` copies of its package's README, and an appendix of tables, from Markdown to `/out/page.html`. Haskell, with its collector. */
export function pandoc(copies: number): Program {
  const readme = packaged('pandoc-wasm/README.md')
  const text = concat([...Array.from({ length: copies }, () => readme), utf8(APPENDIX)])
  const options = ['--standalone', '--toc', '--number-sections', '--mathml', '--metadata=title:Manual']
  const heap = ['+RTS', '-H64m', '-RTS']
  return {
    module: packaged('pandoc-wasm/src/pandoc.wasm'),
    args: ['pandoc', '--from=markdown', '--to=html', ...options, '-o', '/out/page.html', '/in/page.md', ...heap],
    files: [{ path: '/in/page.md', bytes: text }],
  }
}
