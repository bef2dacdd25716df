function preparePhoto(data, width, height) {
  const image = new Uint8Array(784);
  for (let i = 0; i < 784; i++) image[i] = data[4 * i];
  return { image, ink: "as it is", warnings: [] };
}
