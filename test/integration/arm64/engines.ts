// An engine whose host processes run on arm64: the arm64 build of Node in qemu's user mode, if test/third-party/arm64.sh
// has put it there. They run the built JavaScript: stripping types in an emulator takes longer than what is tested.
import { execFileSync } from 'node:child_process'
import { existsSync, readlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { ProcessCellEngine } from '../../../cells/runtime/engine.ts'
import type { CellEngineInit } from '../../../cells/types.ts'

const FOLDER = new URL('../../third-party/arm64/', import.meta.url)
/** Runs the arm64 Node. */
export const ARM_NODE = fileURLToPath(new URL('node', FOLDER))

/** Whether arm64 can be had here; the title of what needs it says how to get it. */
export const available = existsSync(ARM_NODE)
export const NEEDED = 'needs sh test/third-party/arm64.sh'

/** The engine of the built `cells/`, made anew so that it is that of the sources. */
export async function builtCells(): Promise<{ readonly ArmEngine: new (init: CellEngineInit) => ProcessCellEngine }> {
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
  execFileSync(process.execPath, [tsc, '-p', fileURLToPath(new URL('tsconfig.json', import.meta.url))])
  const built: { readonly ProcessCellEngine: typeof ProcessCellEngine } = await import(builtUrl('cells/runtime/engine'))
  return { ArmEngine: onArm(built.ProcessCellEngine) }
}

/** Address of a module of the build. */
export function builtUrl(name: string): string {
  return new URL(`dist/${name}.js`, FOLDER).href
}

/** Host processes are forked from `process.execPath`, while one of these calls is under way. */
function onArm(Engine: typeof ProcessCellEngine): typeof ProcessCellEngine {
  return class ArmEngine extends Engine {
    override launch(...args: Parameters<ProcessCellEngine['launch']>): ReturnType<ProcessCellEngine['launch']> {
      return forkingArm(() => super.launch(...args))
    }

    override resume(...args: Parameters<ProcessCellEngine['resume']>): ReturnType<ProcessCellEngine['resume']> {
      return forkingArm(() => super.resume(...args))
    }
  }
}

async function forkingArm<T>(call: () => Promise<T>): Promise<T> {
  const own = process.execPath
  process.execPath = ARM_NODE
  try {
    return await call()
  } finally {
    process.execPath = own
  }
}

/** Whether every host process of `engine` is emulated. */
export function runsOnArm(engine: ProcessCellEngine): boolean {
  const programs = engine.hostPids().map((pid) => readlinkSync(`/proc/${pid}/exe`))
  return programs.length > 0 && programs.every((path) => path.includes('qemu-aarch64'))
}
