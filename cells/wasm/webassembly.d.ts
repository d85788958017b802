// The part of the WebAssembly JavaScript interface that cells use: the ES library does not declare it, and the DOM
// library would bring a browser's globals along. https://webassembly.github.io/spec/js-api/

declare namespace WebAssembly {
  type ExternalKind = 'function' | 'global' | 'memory' | 'table' | 'tag'

  class Module {
    constructor(bytes: Uint8Array)
    static imports(module: Module): { module: string; name: string; kind: ExternalKind }[]
    static exports(module: Module): { name: string; kind: ExternalKind }[]
    static customSections(module: Module, name: string): ArrayBuffer[]
  }

  class Memory {
    constructor(descriptor: { initial: number; maximum?: number; shared?: boolean })
    readonly buffer: ArrayBuffer
    /** Pages before the growth; throws RangeError when it fails. */
    grow(pages: number): number
  }

  interface GlobalValues {
    i32: number
    i64: bigint
    f32: number
    f64: number
  }

  class Global<T extends keyof GlobalValues = keyof GlobalValues> {
    constructor(descriptor: { value: T; mutable?: boolean }, value?: GlobalValues[T])
    value: GlobalValues[T]
  }

  class Table {
    readonly length: number
    get(index: number): unknown
    set(index: number, value: unknown): void
    /** Entries before the growth; throws RangeError when it fails. */
    grow(entries: number): number
  }

  class Tag {
    constructor(descriptor: { parameters: readonly (keyof GlobalValues)[] })
  }

  class Exception extends Error {
    is(tag: Tag): boolean
  }

  type ExportedFunction = (...args: never[]) => unknown
  type ExportValue = ExportedFunction | Memory | Global | Table | Tag
  type ImportValue = ((...args: never[]) => unknown) | Memory | Global | Table | Tag
  type Imports = Record<string, Record<string, ImportValue>>
  type Exports = Readonly<Record<string, ExportValue>>

  class Instance {
    constructor(module: Module, imports?: Imports)
    readonly exports: Exports
  }

  class CompileError extends Error {}
  class LinkError extends Error {}
  class RuntimeError extends Error {}

  function validate(bytes: Uint8Array): boolean
  function compile(bytes: Uint8Array): Promise<Module>
}
