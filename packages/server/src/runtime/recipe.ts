/**
 * What of a Dockerfile the stage `target` needs: the head and the stages it is made from, in their order. Engines'
 * classic builder makes every stage above the wanted one, needed or not, and the hash of an image should say
 * nothing of other images. A recipe that cannot be read so is returned whole: the builder says what is wrong with it.
 */
export function stagesFor(recipe: string, target: string): string {
  const [head = '', ...stages] = recipe.split(/^(?=FROM\s)/im);
  const named = new Map(stages.map((text) => [/^FROM\s.*\sAS\s+(\S+)\s*$/im.exec(text.split('\n', 1)[0] ?? '')?.[1] ?? '', text]));
  const needed = new Set<string>();
  const need = (name: string): void => {
    const text = named.get(name);
    if (text === undefined || needed.has(name)) return;
    needed.add(name);
    for (const [, from, copied] of text.matchAll(/^(?:FROM\s+(\S+)|COPY\s+--from=(\S+))/gim)) need(from ?? copied ?? '');
  };
  need(target);
  return needed.size === 0 ? recipe : `${head}${[...named].flatMap(([name, text]) => (needed.has(name) ? [text] : [])).join('')}`;
}
