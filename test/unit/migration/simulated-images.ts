// Images on a simulated disk: what was appended is lost in a crash unless it was synced, and no image before it was committed.
import type { ImagePiece, ImageStore, OpenImage, StoredImage } from '../../../protocols/migration/index.ts'
import type { Disk } from '../../../testnet/simulator/disk.ts'
import type { Life } from '../../../testnet/simulator/life.ts'

export interface SimulatedImage {
  readonly pieces: readonly ImagePiece[]
  readonly context?: Uint8Array
}

export class SimulatedImages implements ImageStore {
  readonly #disk: Disk
  readonly #life: Life

  constructor(disk: Disk, life: Life) {
    this.#disk = disk
    this.#life = life
  }

  async create(name: string): Promise<OpenImage> {
    const put = (image: SimulatedImage): Promise<void> => this.#disk.put(this.#life, 'images', name, image)
    const pieces: ImagePiece[] = []
    await put({ pieces: [] })
    return {
      append: async (more) => {
        this.#life.point()
        await this.#life.pause(1)
        if (this.#disk.full) throw new Error('no space left on device')
        pieces.push(...more.map(({ bytes, more }) => ({ bytes: bytes.slice(), more })))
        this.#life.point()
      },
      sync: () => put({ pieces: [...pieces] }),
      commit: (context) => put({ pieces: [...pieces], context: context.slice() }),
      abandon: async () => undefined,
    }
  }

  async read(name: string): Promise<StoredImage | undefined> {
    const image = await this.#disk.get<SimulatedImage>(this.#life, 'images', name)
    if (image?.context === undefined) return undefined
    const { pieces, context } = image
    return {
      context,
      pieces: async function* () {
        yield* pieces
      },
    }
  }

  async drop(name: string): Promise<void> {
    await this.#disk.remove(this.#life, 'images', name)
  }

  async list(): Promise<readonly string[]> {
    return (await this.#disk.entries(this.#life, 'images')).map(([name]) => name)
  }
}
