export type Poster = {
  status(): { batches: number; postedBytes: number; nextBlock: bigint; checkpoints: number }
  wake(): void
  stop(): Promise<void>
}
export function createPoster(_: unknown): Poster {
  return { status: () => ({ batches: 0, postedBytes: 0, nextBlock: 1n, checkpoints: 0 }), wake() {}, async stop() {} }
}
